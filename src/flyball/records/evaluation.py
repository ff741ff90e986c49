"""What a run finds out about a version beside the metrics of its hold-out: one section a topic, in one blob."""

from __future__ import annotations

from flyball.records.base import Record
from flyball.records.estimates import Estimate


class Importance(Record, frozen=True):
    """One feature: by how much the mean loss rises when its values are dealt out anew among the rows."""

    feature: str
    rise: Estimate


class Importances(Record, frozen=True):
    """Permutation importance of every feature on the hold-out, the largest rise first. `loss` names each row's loss, `mean_loss` is what it comes to."""

    loss: str
    mean_loss: float
    rows: int
    features: tuple[Importance, ...]


class Report(Record, frozen=True):
    """All sections. `missing`: topic → why the run could not look into it; what gates ask of it is then insufficient."""

    missing: dict[str, str] = {}
    importances: Importances | None = None
