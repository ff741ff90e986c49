"""Evidence: what the loop sees. Additive counts, and label blocks in order of arrival; never rows."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from flyball.clock import Instant, Span
from flyball.records.base import Record
from flyball.records.models import Role
from flyball.records.rollouts import PairCounts
from flyball.records.unlabelled import AnsweredDay


class Bins(Record, frozen=True):
    """Fixed cells of one column, from the reference (docs/statistics.md §2), with the reference's counts.

    Numeric: `edges` ascending, bin i = (edges[i-1], edges[i]]. Categorical: `values` have cells of their own, all others fall
    into 32 hash buckets; `known` holds hashes of reference values (empty: not kept). `windows` are the counts of the
    reference's own windows (for overdispersion), one list a window: cells, then nulls, unseen, n. `n` counts all rows, nulls too.
    `days` are the distinct days of the reference (0: no order of time). `fast` are the overdispersions τ of cells, nulls and unseen
    values between windows of 1,000 rows, and how many such windows there were (empty: none).

    `weekdays` are the counts of each day of the week, from Thursday, the day of 1970-01-01, in the form of a window; `daily` the overdispersions between
    days of one weekday, as `fast` has them (both empty: fewer than eight days of each). `slice` as in `day=6`: the rows of one value of a slice,
    in the cells of the bins of the whole, which alone has edges, values and windows; `spread` are its overdispersions between windows.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    known: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    nulls: int = 0
    n: int = 0
    once: int = 0
    twice: int = 0
    windows: tuple[tuple[int, ...], ...] = ()
    days: int = 0
    fast: tuple[float, ...] = ()
    weekdays: tuple[tuple[int, ...], ...] = ()
    daily: tuple[float, ...] = ()
    slice: str = ""
    spread: tuple[float, ...] = ()


class Watch(Record, frozen=True):
    """What folding one model's log needs to know.

    `label_delay` is H: a row matures at its time + H and is tested on the label known by then. `loss` is 0/1 or a clipped
    loss over `loss_cap`. `slow_us` maps a rollout id to its frozen threshold. `bins` are the champion's reference.
    `slices` are columns of the request; `derived` are slices by an expression (name → its text as JSON) on columns that `reads` names.
    `attributes` are protected columns that come with the labels (name → the values it may have, as text): a row counts under them once it has a label.
    `classes` are the champion's, in ascending order (of a binary task the last is the positive one; none: 0 and 1). `arms` maps the id of an active rollout to its new and its old version; it began at `started`.
    `settle` is the longest that a picked request may stay open: the units of a split are counted once no slower one of their time can come.
    Weeks of inputs are counted from `origin` on, the champion's release (0: nobody knows); `daily`: days are told apart as well.
    `patience`, of a model that is served elsewhere alone: its rows bear their own times, and a label may be on its way for so long. 0: it is served here.
    `estimated`: whether the champion's performance is estimated without labels; then `positive` is its second class (a number, or text), and `telling`
    are the columns of its error model. `ranked` are the metrics of lists that are counted of a ranking.
    """

    model: str
    task: str
    label_delay: Span
    slices: tuple[str, ...] = ()
    derived: dict[str, str] = {}
    reads: tuple[str, ...] = ()
    attributes: dict[str, tuple[str, ...]] = {}
    classes: tuple[int | str | bool, ...] = ()
    loss: Literal["zero_one", "absolute"] = "zero_one"
    loss_cap: float = 1.0
    slow_us: dict[str, int] = {}
    arms: dict[str, tuple[str, str]] = {}
    started: Instant = 0
    settle: Span = Span(0)
    bins: tuple[Bins, ...] = ()
    origin: Instant = 0
    daily: bool = False
    patience: Span = Span(0)
    estimated: bool = False
    positive: float | str = 1.0
    telling: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()


class Traffic(Record, frozen=True):
    """Operational counts of one (model, version, role, rollout, minute). Units are keys at their first exposure in the rollout.

    Bad and slow units count at once, all units of a split only when their time is settled (`Watch.settle`). `met` counts them at once with
    their first request, `failed` those whose first request failed.

    `minute` counts minutes since 1970. Outside a rollout there are no units.

    `latency` counts requests by floor(8 × log2(µs)), sparse as {bin: n}.
    """

    model: str
    version: str
    role: Role
    rollout: str
    weight: int
    minute: int
    n: int = 0
    errors: int = 0
    units: int = 0
    bad_units: int = 0
    slow_units: int = 0
    met: int = 0
    failed: int = 0
    dropped: int = 0
    latency: dict[int, int] = {}


class Ranked(NamedTuple):
    """A metric of lists: how many have a relevant item, sums of the metric and of its square over these, and how many have none (`empty`)."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    empty: int = 0


def ranked_sum(left: dict[str, Ranked], right: dict[str, Ranked]) -> dict[str, Ranked]:
    """The sum of two counts of lists, by metric."""
    found = dict(left)
    for name, one in right.items():
        known = found.get(name)
        if known is not None:
            one = Ranked(known.n + one.n, known.total + one.total, known.squares + one.squares, known.empty + one.empty)
        found[name] = one
    return found


class Quality(Record, frozen=True, omit_defaults=True):
    """Matured rows of one (model, version, role, slice, minute of maturity since 1970). `loss` and `loss_sq` are sums of the clipped loss.

    tp fp fn tn are for binary tasks; `correct` for all that have classes. `scored` are the labelled rows with scores that are probabilities: of
    these `log_loss` and, of binary tasks, `sq_score` (the squared difference of score and outcome) are summed, and so are the squares of both;
    `scores` holds the scores by label in fixed cells (`stats/binned.py`).

    Numbers: `abs_error`, `sq_error` and `quad_error` sum the absolute error, its square and its fourth power; `relative` the error relative to the
    truth, `relative_sq` its square, over the `relative_n` rows whose truth is not 0. `truth…` sum the truth's first four powers, `sq_truth` and
    `sq_truth_sq` the squared error times the truth and times its square. What leaves the floating-point range stays at `MOST`. `ranked`: metrics of the
    lists of a ranking all of whose items have a label.
    """

    model: str
    version: str
    role: Role
    slice: str
    minute: int
    matured: int = 0
    labelled: int = 0
    correct: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    loss: float = 0.0
    loss_sq: float = 0.0
    scored: int = 0
    log_loss: float = 0.0
    log_loss_sq: float = 0.0
    sq_score: float = 0.0
    quad_score: float = 0.0
    scores: bytes = b""
    abs_error: float = 0.0
    sq_error: float = 0.0
    quad_error: float = 0.0
    relative: float = 0.0
    relative_sq: float = 0.0
    relative_n: int = 0
    truth: float = 0.0
    truth_sq: float = 0.0
    truth_cube: float = 0.0
    truth_quad: float = 0.0
    sq_truth: float = 0.0
    sq_truth_sq: float = 0.0
    ranked: dict[str, Ranked] = {}


MOST = 1e300
"""What a sum of `Quality` stays at: such a sum, and what would follow from it, is beyond the floating-point range."""


class Labels(Record, frozen=True, omit_defaults=True):
    """Labels of one model that came in one minute since 1970.

    `came` counts them all; of these `duplicates` repeat the newest that was known of their row, `corrected` differ from it, and `late` came after
    their row was judged: they are tested nowhere. `early` are known before the row was asked about: clocks disagree, or the question came too late.
    `lag` counts rows by floor(8 × log2(µs)) from the prediction to its first label, at the minute in which the row was judged, or the late label came.
    """

    model: str
    minute: int
    came: int = 0
    duplicates: int = 0
    corrected: int = 0
    late: int = 0
    early: int = 0
    lag: dict[int, int] = {}


class LabelsSeen(Record, frozen=True):
    """How labels of one model came in the last `span`. `judged` rows matured, `labelled` of them on a label; `coverage` is their share (None: no row).

    The counts are those of `Labels`; `unmatched` were given up: no row had waited for them (`late` ones of rows without a label are among them).
    `lag_p50_s` and `lag_p90_s`: within how many seconds of the prediction half and nine tenths of the rows that have a label had their first.
    """

    span: str
    judged: int
    labelled: int
    coverage: float | None
    came: int
    duplicates: int
    corrected: int
    late: int
    early: int
    unmatched: int
    lag_p50_s: float | None
    lag_p90_s: float | None


class Pairs(Record, frozen=True):
    """Paired rows of one rollout (new version against old), by slice."""

    model: str
    rollout: str
    new: str
    old: str
    counts: PairCounts


class LabelBlock(Record, frozen=True):
    """Consecutive matured labels of one (model, version), in order: the clipped losses in [0, 1], at most 16 a block."""

    model: str
    version: str
    losses: tuple[float, ...]
    until: Instant


class InputCounts(Record, frozen=True):
    """Counts of one model's column (inputs as served; `prediction` for the answers, `label` for the labels of matured rows) in the fixed cells
    of its Bins, whole or of one `slice`.

    `cells` is as long as the reference's counts; `unseen` maps values the reference never had to their counts (the 20 largest).
    `week` and `day` are when the week (from the champion's release on) and the day (UTC) of all these rows began; 0: not told.
    """

    model: str
    column: str
    n: int
    nulls: int
    cells: tuple[int, ...]
    unseen: dict[str, int] = {}
    unseen_n: int = 0
    slice: str = ""
    week: Instant = 0
    day: Instant = 0


MINUTE = 60_000_000
MOST_BREACHES = 60


def tallied(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    """The sum of two counts of breaches. Of unknown fields, whose names are callers' own, the most frequent stay."""
    found = dict(left)
    for key, count in right.items():
        found[key] = found.get(key, 0) + count
    unknown = sorted((key for key in found if key.startswith("unknown ") and key != "unknown *"), key=lambda key: (-found[key], key))
    for key in unknown[MOST_BREACHES:]:
        found["unknown *"] = found.get("unknown *", 0) + found.pop(key)
    return found


class Refusals(Record, frozen=True):
    """Requests of one (model, minute) that broke their contract. `refused` of them were refused; `breaches` are rows, or refused requests, by
    kind and column, as in `missing amount` or `other *`: a `*` stands for no field, or for a name that no column could have.
    """

    model: str
    minute: int
    refused: int = 0
    breaches: dict[str, int] = {}


class Batch(Record, frozen=True):
    """All that became visible in (cursor, until]. `inputs` are in order of rows, cut at every thousandth and between weeks: a column comes once
    in each cut, with its slices.

    `unmatched` counts, by model, the labels that were given up: no row had waited for them; `uncounted` the records of models that were not
    to be counted; `gaps` those that are in no log.
    """

    until: Instant
    traffic: tuple[Traffic, ...] = ()
    quality: tuple[Quality, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    blocks: tuple[LabelBlock, ...] = ()
    labels: tuple[Labels, ...] = ()
    inputs: tuple[InputCounts, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    answered: tuple[AnsweredDay, ...] = ()
    unmatched: dict[str, int] = {}
    uncounted: dict[str, int] = {}
    gaps: int = 0

    @property
    def holds(self) -> bool:
        """Whether anything would be lost with it."""
        return any(self._parts()) or bool(self.unmatched or self.uncounted or self.gaps)

    @property
    def models(self) -> set[str]:
        """The models of which something is counted."""
        return {item.model for part in self._parts() for item in part} | set(self.unmatched)

    def _parts(self) -> tuple[tuple[Traffic | Quality | Pairs | LabelBlock | Labels | InputCounts | Refusals | AnsweredDay, ...], ...]:
        return (self.traffic, self.quality, self.pairs, self.blocks, self.labels, self.inputs, self.refusals, self.answered)


class Cursor(Record, frozen=True):
    """How far evidence has been read: per log file its byte offset, and the instant."""

    until: Instant = 0
    offsets: dict[str, int] = {}


class Evidence(Protocol):
    """Where counts come from: the live log or a backtest's frames."""

    def since(self, cursor: Cursor, until: Instant, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        """Counts of everything that became visible in (cursor, until]. Cutting the time otherwise gives the same sums."""
        ...
