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


class WeakSlice(Record, frozen=True):
    """Rows that are served clearly worse than the rest. `where`: `column=value`, or two of them; `share`: of the rows that were looked at.

    `n` rows; `here` and `rest` are `metric` on the half of them that the search had not seen; `p` is adjusted for all that was tested.
    """

    where: str
    n: int
    share: float
    metric: str
    here: Estimate
    rest: Estimate
    p: float


class WeakSlices(Record, frozen=True):
    """What a search through `columns` columns and `pairs` pairs of them found on `rows` of `of` held-out rows; `found`: the worst first, at most 20 of `count`."""

    rows: int
    of: int
    columns: int
    pairs: int
    count: int
    found: tuple[WeakSlice, ...] = ()


class Packaging(Record, frozen=True):
    """In which form a version is served ("skops", "onnx", or "own": the model's `save=`), and why. Where ONNX was tried: over how many rows it was compared,
    in how many the class differed, the largest difference of a score or number (relative to it where it is above 1), and CPU in µs of batches of 1 and 100 rows.
    """

    served: str
    why: str
    rows: int = 0
    classes_differ: int = 0
    difference: float = 0.0
    cpu_us: dict[str, float] = {}


class Report(Record, frozen=True):
    """All sections. `missing`: topic → why the run could not look into it; what gates ask of it is then insufficient."""

    missing: dict[str, str] = {}
    importances: Importances | None = None
    weak_slices: WeakSlices | None = None
    packaging: Packaging | None = None
