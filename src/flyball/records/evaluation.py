"""What a run finds out about a version beside the metrics of its hold-out: one section a topic, in one blob."""

from __future__ import annotations

from flyball.records.base import Record


class Report(Record, frozen=True):
    """All sections. `missing`: topic → why the run could not look into it; what gates ask of it is then insufficient."""

    missing: dict[str, str] = {}
