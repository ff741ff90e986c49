"""What a run takes: processor time, memory, energy, money."""

from __future__ import annotations

from flyball.records.base import Record


class Cost(Record, frozen=True):
    """What a run has taken. `cpu_s`: seconds of all its processes; `peak_bytes`: the most resident memory of each that ran at once, added up.

    `energy_wh` is an estimate, and `energy_by` says of what kind. `money` is None, and `why` says so, where no price is known: never 0.
    """

    cpu_s: float
    peak_bytes: int
    energy_wh: float
    energy_by: str
    money: float | None = None
    currency: str = ""
    why: str = ""
