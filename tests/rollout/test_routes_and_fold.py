import msgspec
import pytest

from flyball.declare.checks import champion, metric
from flyball.declare.policy import Rollout
from flyball.errors import Conflict
from flyball.records.base import Recorded
from flyball.records.models import Field, Signature
from flyball.records.rollouts import EVENTS, MODEL_ROLLOUTS, ROLLOUTS, RolloutState
from flyball.records.versions import MODELS, ModelRow
from flyball.rollout.fold import FOLDS
from flyball.rollout.routes import narrow, route, withheld
from flyball.rollout.rules import plan
from flyball.rollout.states import TERMINAL, TRANSITIONS

STEPS = Rollout(guards=[metric("accuracy") >= champion - 0.01]).shadow("1h").canary("5%", "1h").canary("25%", "1h")


def lookup(version):
    return f"blob-{version}", Signature(task="binary", fields=())


def arms(found):
    return (
        [(one.version, one.role, one.weight) for one in found.arms],
        [(one.version, one.role) for one in found.shadows],
        found.salt,
    )


def at(play, state, step=0, resume=None):
    return msgspec.structs.replace(play(STEPS).row, state=RolloutState(state), step=step, resume=resume and RolloutState(resume))


BOTH = [("1.1.0", "shadow"), ("1.0.0", "shadow")]


@pytest.mark.parametrize(
    ("state", "step", "resume", "expected"),
    [
        ("planned", 0, None, ([("1.0.0", "champion", 10_000)], [], "")),
        ("warming", 0, None, ([("1.0.0", "champion", 10_000)], [("1.1.0", "shadow")], "ro_1")),
        ("shadow", 0, None, ([("1.0.0", "champion", 10_000)], [("1.1.0", "shadow")], "ro_1")),
        ("canary", 1, None, ([("1.0.0", "champion", 9_500), ("1.1.0", "challenger", 500)], BOTH, "ro_1")),
        ("canary", 2, None, ([("1.0.0", "champion", 7_500), ("1.1.0", "challenger", 2_500)], BOTH, "ro_1")),
        ("frozen", 2, "canary", ([("1.0.0", "champion", 7_500), ("1.1.0", "challenger", 2_500)], BOTH, "ro_1")),
        ("paused", 0, "shadow", ([("1.0.0", "champion", 10_000)], [("1.1.0", "shadow")], "ro_1")),
        ("watching", 2, None, ([("1.1.0", "champion", 10_000)], [("1.0.0", "former")], "ro_1")),
        ("rolling_back", 2, None, ([("1.0.0", "champion", 10_000)], [], "")),
        ("rolled_back", 2, None, ([("1.0.0", "champion", 10_000)], [], "")),
        ("failed", 0, None, ([("1.0.0", "champion", 10_000)], [], "")),
    ],
)
def test_each_state_asks_for_its_route(play, state, step, resume, expected):
    found = route("1.0.0", at(play, state, step, resume), lookup)
    assert arms(found) == expected
    assert sum(one.weight for one in found.arms) == 10_000
    assert all(one.artifact == f"blob-{one.version}" for one in (*found.arms, *found.shadows))


def test_a_rollback_while_watching_does_not_wait_for_the_champion_to_change(play):
    assert arms(route("1.1.0", at(play, "rolling_back", 2), lookup))[0] == [("1.0.0", "champion", 10_000)]


def test_without_a_champion_the_first_version_answers_alone(play):
    first = play(STEPS, champion_version="").row
    assert route("", None, lookup) is None
    assert route("", first, lookup) is None
    warming = msgspec.structs.replace(first, state=RolloutState.WARMING)
    assert arms(route("", warming, lookup)) == ([("1.1.0", "champion", 10_000)], [], "ro_1")


def test_a_first_version_that_is_held_is_asked_nothing(play):
    row = play(STEPS, champion_version="").row
    assert arms(withheld(row, lookup)) == ([], [("1.1.0", "shadow")], "ro_1")
    fields = tuple(Field(name=f"a_rather_long_name_{place}", type="float") for place in range(1_000))
    wide = withheld(row, lambda version: (f"blob-{version}", Signature(task="binary", fields=fields)))
    assert (narrow(wide).signature.fields, narrow(wide).signature_of) == ((), "blob-1.1.0")


class Rows:
    """The projection as a dictionary."""

    def __init__(self):
        self.rows = {}

    def get(self, table, key):
        return self.rows.get((table.name, key))

    def put(self, table, key, row):
        assert isinstance(row, table.row)
        self.rows[table.name, key] = row

    def delete(self, table, key):
        self.rows.pop((table.name, key), None)


def fold(rows, at, event):
    FOLDS[type(event)](rows, Recorded(seq=at, at=at, actor="loop", command="c", event=event))


def planned():
    return plan(STEPS, rollout="ro_1", model="m", version="1.1.0", champion="1.0.0", attempt=1, slow_us=None, reason="new data")


def test_there_is_a_fold_for_every_event_of_a_rollout():
    assert set(FOLDS) == set(EVENTS)


def test_a_whole_rollout_leaves_its_row_and_frees_the_model(play):
    rows = Rows()
    rows.put(MODELS, "m", ModelRow(model="m", champion="1.0.0"))
    fold(rows, 10, planned())
    assert rows.get(MODELS, "m").rollout == "ro_1"
    assert rows.get(ROLLOUTS, "ro_1").state is RolloutState.PLANNED
    ours = play(STEPS)
    for moment in (11, 12):
        ours.row = rows.get(ROLLOUTS, "ro_1")
        fold(rows, moment, ours.decide())
    row = rows.get(ROLLOUTS, "ro_1")
    assert (row.state, row.entered_at, row.planned_at, row.moves) == (RolloutState.SHADOW, 12, 10, 2)
    ours.row = row
    fold(rows, 13, ours.decide(frozen_by="incident"))
    assert rows.get(ROLLOUTS, "ro_1").resume is RolloutState.SHADOW
    ours.row = rows.get(ROLLOUTS, "ro_1")
    fold(rows, 14, ours.decide())
    assert (rows.get(ROLLOUTS, "ro_1").state, rows.get(ROLLOUTS, "ro_1").resume) == (RolloutState.SHADOW, None)
    assert rows.get(MODEL_ROLLOUTS, "m/1.1.0/ro_1") == rows.get(ROLLOUTS, "ro_1")


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_the_end_of_a_rollout_does_not_free_a_model_that_has_another_one(play, end):
    rows = Rows()
    fold(rows, 1, planned())
    rows.put(MODELS, "m", msgspec.structs.replace(rows.get(MODELS, "m"), rollout="ro_2"))
    before = next(state for state, targets in TRANSITIONS.items() if end in targets)
    stands = msgspec.structs.replace(rows.get(ROLLOUTS, "ro_1"), state=before)
    rows.put(ROLLOUTS, "ro_1", stands)
    moved = msgspec.structs.replace(play(STEPS).decide(), source=before, target=end)
    fold(rows, 2, moved)
    assert rows.get(MODELS, "m").rollout == "ro_2"
    rows.put(MODELS, "m", msgspec.structs.replace(rows.get(MODELS, "m"), rollout="ro_1"))
    rows.put(ROLLOUTS, "ro_1", stands)
    fold(rows, 3, moved)
    assert rows.get(MODELS, "m").rollout == ""


def test_an_arrow_that_is_not_in_the_table_or_starts_elsewhere_is_no_event(play):
    rows = Rows()
    fold(rows, 1, planned())
    moved = play(STEPS).decide()
    for wrong in (
        {"target": RolloutState.ROLLING_BACK},
        {"source": RolloutState.SHADOW, "target": RolloutState.CANARY},
        {"rollout": "ro_9"},
    ):
        with pytest.raises(Conflict):
            fold(rows, 2, msgspec.structs.replace(moved, **wrong))
    assert rows.get(ROLLOUTS, "ro_1").state is RolloutState.PLANNED
