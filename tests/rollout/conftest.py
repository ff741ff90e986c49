import msgspec
import pytest

from flyball.clock import Span
from flyball.declare.checks import champion, metric
from flyball.declare.policy import Rollout
from flyball.records.evidence import Batch, Pairs, Quality, Traffic
from flyball.records.rollouts import PairCounts, RolloutEvidence, RolloutRow, RolloutState
from flyball.rollout.rules import Facts, decide, plan

S = 1_000_000


def row_of(planned, *, state=RolloutState.PLANNED, step=0, at=0):
    return RolloutRow(
        rollout=planned.rollout,
        model=planned.model,
        version=planned.version,
        champion=planned.champion,
        steps=planned.steps,
        evidence=planned.evidence,
        attempt=planned.attempt,
        state=state,
        step=step,
        planned_at=at,
        entered_at=at,
        why="",
        slow_us=planned.slow_us,
    )


class Play:
    """One rollout in virtual time: batches in, arrows out."""

    def __init__(self, declaration=None, *, champion_version="1.0.0", attempt=1, slow_us=None, **facts):
        self.declaration = declaration or Rollout(guards=[metric("accuracy") >= champion - 0.01]).shadow("1h")
        planned = plan(
            self.declaration,
            rollout="ro_1",
            model="m",
            version="1.1.0",
            champion=champion_version,
            attempt=attempt,
            slow_us=slow_us,
            reason="test",
        )
        self.row = row_of(planned)
        self.evidence = RolloutEvidence()
        self.now = 0
        self.facts = {"workers_ready": True, "in_force": True, **facts}
        self.moves = []

    def decide(self, **facts):
        moved = decide(self.row, self.declaration, self.evidence, Facts(now=self.now, **{**self.facts, **facts}))
        if moved is not None:
            self.apply(moved)
        return moved

    def apply(self, moved):
        self.moves.append(moved)
        held = moved.target in {RolloutState.FROZEN, RolloutState.PAUSED}
        resume = (self.row.resume or moved.source) if held else None
        self.row = msgspec.structs.replace(
            self.row, state=moved.target, step=moved.step, entered_at=self.now, why=moved.why, resume=resume, moves=self.row.moves + 1
        )

    def start(self):
        """Through planned and warming to the first step."""
        self.decide()
        self.decide()
        return self

    def see(self, *, seconds=60, traffic=(), pairs=None, matured=0, labelled=None, slices=()):
        from flyball.rollout.evidence import accumulate

        self.now += seconds * S
        counts = (
            [] if pairs is None else [PairCounts(minus=pairs[0], zero=pairs[1], plus=pairs[2], old_loss=pairs[3] if len(pairs) > 3 else 0)]
        )
        batch = Batch(
            until=self.now,
            traffic=tuple(traffic),
            pairs=tuple(Pairs(model="m", rollout="ro_1", new="1.1.0", old="1.0.0", counts=one) for one in [*counts, *slices]),
            quality=(
                Quality(
                    model="m",
                    version="1.1.0",
                    role="shadow",
                    slice="",
                    minute=0,
                    matured=matured,
                    labelled=matured if labelled is None else labelled,
                ),
            ),
        )
        self.evidence = accumulate(self.evidence, batch, self.row)
        return self

    def requests(self, canary=(0, 0), stable=(0, 0), *, slow=(0, 0), weight=None):
        """Traffic records of the present step: (units, bad) of each arm."""
        step = self.row.steps[self.row.step]
        weight = step.weight if weight is None else weight
        minute = self.now // (60 * S)
        role = "challenger" if weight else "shadow"
        common = {"model": "m", "rollout": "ro_1", "weight": weight, "minute": minute}
        return (
            Traffic(
                version="1.1.0",
                role=role,
                n=canary[0],
                errors=canary[1],
                units=canary[0],
                met=canary[0],
                failed=canary[1],
                bad_units=canary[1],
                slow_units=slow[0],
                **common,
            ),
            Traffic(
                version="1.0.0",
                role="champion",
                n=stable[0],
                errors=stable[1],
                units=stable[0],
                bad_units=stable[1],
                slow_units=slow[1],
                **common,
            ),
        )


@pytest.fixture
def play():
    return Play


@pytest.fixture
def span():
    return Span.parse
