"""The loan project with a business outcome: its answers are logged at moments of the past, and what they brought is a file that grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from flyball.clock import Span
from flyball.governance.authority import LOOP as ITSELF
from flyball.records.rollouts import RolloutPlanned, Step
from flyball.serving import wal
from flyball.serving.ids import Ids, load_key
from flyball.wiring import Wired

from .estimate_kit import Loans

DECLARED = """
repaid = fb.Dataset("repaid", source="data/repaid/*.csv", time="paid_at", id="payment",
    columns={"ON": str, "amount": float})
loan = loan.replace(outcomes=[fb.Outcome("conversion", source=repaid, on="ON", column="amount", within="2d", how="count")],
    slices=["kind"], monitors=[fb.metric("conversion").over("7d") >= 0.2], rollout=fb.Rollout(sticky="who", watch="1s"))
"""

SUBJECT = 'subject="who",'
DAY_S = 86_400
NOW = int(time.time())


class Asked(NamedTuple):
    """One answer of the past: its id, how many days ago, the customer's key, and what the model said."""

    id: str
    days_ago: float
    key: str = ""
    value: float = 1.0
    kind: str = "new"
    version: str = "1.0.0"
    role: str = "champion"
    rollout: str = ""


class Repaid(Loans):
    """The project on disk."""

    def declare(self, on: str) -> None:
        """Declare the outcome, joined on a key or on the prediction's id; the file is read by the next tick."""
        text = (self.root / "loop.py").read_text()
        (self.root / "loop.py").write_text(text + DECLARED.replace("ON", on))
        (self.root / "data" / "repaid").mkdir(exist_ok=True)
        ended = self.call("apply")
        assert ended.code == 0, ended

    def paid(self, name: str, rows: Sequence[tuple[str, str, float, float]], *, on: str = "who") -> None:
        """A file of payments: (payment, whose, how many days ago, amount)."""
        stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago * DAY_S)) for _, _, ago, _ in rows]
        frame = pl.DataFrame(
            {"payment": [row[0] for row in rows], "paid_at": stamps, on: [row[1] for row in rows], "amount": [row[3] for row in rows]}
        )
        frame.write_csv(self.root / "data" / "repaid" / f"{name}.csv")

    def answered(self, wired: Wired, asked: Sequence[Asked]) -> None:
        """Log answers at their moments, and the labels of none."""
        writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
        ids = self.ids(wired)
        now = time.monotonic_ns()
        frames = [writer.declare(f"loan@{version}", ["x", "z", "kind"]) for version in dict.fromkeys(one.version for one in asked)]
        for one in asked:
            at = now - int(one.days_ago * DAY_S * 1e9) - (time.time_ns() - NOW * 10**9)
            marks: dict[str, Any] = {"ids": [one.id]} | ({"ro": one.rollout, "w": 5_000} if one.rollout else {})
            frames.append(
                wal.frame(
                    "answer", one.id, rows=1, picked_ns=at, answered_ns=at, version=f"loan@{one.version}", role=one.role,
                    key_hash=ids.key_hash(one.key) if one.key else "", packed_input=wal._encode([[0.1, 0.2, one.kind]]),
                    packed_output=wal._encode([[one.value, 0.7]]), marks=marks,
                )
            )  # fmt: skip
        assert writer.append(frames)
        writer.close()

    def labelled(self, wired: Wired, labels: Sequence[tuple[str, float]]) -> None:
        """Log labels that are known now."""
        writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
        now = time.monotonic_ns()
        frames = [
            wal.frame("label", name, picked_ns=now, answered_ns=now, version="loan", packed_output=wal._encode([[value]]))
            for name, value in labels
        ]
        assert writer.append(frames)
        writer.close()

    def ids(self, wired: Wired) -> Ids:
        """What hashes keys as the gateways of this project do."""
        return Ids(load_key(wired.layout.id_key), 0)

    def split(self, wired: Wired) -> None:
        """Record that a release deals half of the keys to a new version."""
        planned = RolloutPlanned(
            rollout="ro_1", model="loan", version="1.1.0", champion="1.0.0", steps=(Step("canary", 5_000, Span.parse("1d")),),
            evidence="live", attempt=1, reason="test",
        )  # fmt: skip
        self.tell(wired, planned)

    def counted(self, minutes: int = 0) -> dict[str, Any]:
        """What `monitor` says of the outcome, once the data sets are read and what is due so many minutes from now is counted."""
        ended = self.call("tick")
        assert ended.code == 0, ended
        with self.opened() as wired:
            ports, outcomes = wired.acting(ITSELF), wired.outcomes()
            now = ports.clock.now() + minutes * 60_000_000
            outcomes.step(ports, now)
            outcomes.finish(ports, now)
        [found] = self.call("monitor", "loan").document["outcomes"]
        return dict(found)
