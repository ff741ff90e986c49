"""What a run finds out about a version beside the metrics of its hold-out: one section a topic, in one blob."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.path import Path
from flyball.records.rows import DataFacts, Live, Periods, Simplers, Staleness


class FoldPart(Record, frozen=True):
    """One of several hold-outs: how many rows its fit learned from and was judged on, and what it came to."""

    rows: int
    holdout_rows: int
    metrics: dict[str, Estimate] = {}


class Decision(Record, frozen=True):
    """From which score on the positive class is answered, and why. `by_costs`: what costs say where scores are probabilities. `cost`: of 1,000 answers
    on `rows` validation rows, and `cost_at_half` what they would cost from 0.5 on; both None where no rows were asked.
    """

    at: float
    why: str
    rows: int = 0
    by_costs: float = 0.5
    cost: float | None = None
    cost_at_half: float | None = None


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
    """Rows that are served clearly worse than the rest. `where`: `column=value` (`column in (low, high]` of numbers), or two of them; `share`: of the rows that were looked at.

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
    Where it was equal on these rows, and not with missing, infinite or very large values in them, all of that is of the rows with such values.
    """

    served: str
    why: str
    rows: int = 0
    classes_differ: int = 0
    difference: float = 0.0
    cpu_us: dict[str, float] = {}


class Group(Record, frozen=True):
    """The rows of one group, and how they are served."""

    value: str
    n: int
    metrics: dict[str, Estimate]


class GroupGap(Record, frozen=True):
    """A metric's largest difference between two groups, with an interval that holds for all pairs at once. `lacking`: which groups are too small."""

    gap: Estimate
    between: str = ""
    lacking: str = ""


class Groups(Record, frozen=True):
    """The groups of one column, and their gaps by metric: of positive_rate (demographic parity), recall (equal opportunity), equalised_odds, …"""

    column: str
    protected: bool
    groups: tuple[Group, ...]
    gaps: dict[str, GroupGap]


class ScoreBin(Record, frozen=True):
    """Rows of like scores: the mean score, and the share of positives with its 95% interval."""

    n: int
    score: float
    positive: Estimate


class Calibration(Record, frozen=True):
    """Do scores mean what they say? The mean distance of score and frequency, and the bins it is made of, by rising score."""

    error: Estimate
    bins: tuple[ScoreBin, ...]


class Threshold(Record, frozen=True):
    """What would come of calling rows positive whose score is `at` or more. None where it is not defined; `cost`: of 1,000 answers, by the declared costs."""

    at: float
    positive_rate: float
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    cost: float | None = None


class Confusion(Record, frozen=True):
    """Rows by truth (first index) and answer (second), in the order of `classes`. `where`: empty for all rows, else `column=value`."""

    where: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class WorstRow(Record, frozen=True):
    """A row that was answered badly: its truth, its answer, its loss (−log of the truth's score, 0/1, or the absolute error), and its features."""

    time: Instant
    truth: int | float | str | bool
    answer: int | float | str | bool | None
    loss: float
    features: dict[str, str]


class Mistakes(Record, frozen=True):
    """Where answers are wrong: how many (of classes), which, and the worst of them. `residuals`: (share of rows, answer less truth at most) for numbers; `worst_missing`: why no single row is told."""

    wrong: int | None
    rows: int
    confusion: tuple[Confusion, ...] = ()
    residuals: tuple[tuple[float, float], ...] = ()
    worst: tuple[WorstRow, ...] = ()
    worst_missing: str = ""


class Robustness(Record, frozen=True):
    """The objective on the same `rows` as they are and with values of `columns` missing, noisy, never seen or permuted; `lost`: the share of it that is lost.

    `after` is None where the model failed, or nothing could be changed: `lost.why` says so.
    """

    kind: str
    rows: int
    objective: str
    before: Estimate
    lost: Estimate
    after: Estimate | None = None
    columns: tuple[str, ...] = ()


class OutputShift(Record, frozen=True):
    """The candidate's answers beside the champion's, to the same rows: PSI `of` their scores or values, the share of rows whose class differs, and
    for numbers the mean difference (candidate less champion) and the mean absolute one.
    """

    of: str
    psi: float
    rows: int
    changed: Estimate | None = None
    difference: Estimate | None = None
    distance: Estimate | None = None


class Report(Record, frozen=True):
    """All sections. `missing`: topic → why the run could not look into it; what gates ask of it is then insufficient."""

    missing: dict[str, str] = {}
    folds: tuple[FoldPart, ...] = ()
    decision: Decision | None = None
    data: DataFacts | None = None
    simpler: Simplers | None = None
    periods: Periods | None = None
    staleness: Staleness | None = None
    live: Live | None = None
    importances: Importances | None = None
    weak_slices: WeakSlices | None = None
    packaging: Packaging | None = None
    groups: tuple[Groups, ...] = ()
    calibration: Calibration | None = None
    thresholds: tuple[Threshold, ...] = ()
    mistakes: Mistakes | None = None
    path: Path | None = None
    robustness: tuple[Robustness, ...] = ()
    output_shift: OutputShift | None = None
