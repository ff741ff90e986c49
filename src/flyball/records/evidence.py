"""Evidence: what the loop sees. Additive counts, and label blocks in order of arrival; never rows."""

from __future__ import annotations

from typing import Literal, Protocol

from flyball.clock import Instant, Span
from flyball.records.base import Record
from flyball.records.models import Role
from flyball.records.rollouts import PairCounts


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
    `slices` are columns of the request. `arms` maps the id of an active rollout to its new and its old version; it began at `started`.
    `settle` is the longest that a picked request may stay open: the units of a split are counted once no slower one of their time can come.
    Weeks of inputs are counted from `origin` on, the champion's release (0: nobody knows); `daily`: days are told apart as well.
    `patience`, of a model that is served elsewhere alone: its rows bear their own times, and a label may be on its way for so long. 0: it is served here.
    """

    model: str
    task: str
    label_delay: Span
    slices: tuple[str, ...] = ()
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


class Quality(Record, frozen=True):
    """Matured rows of one (model, version, role, slice, minute of maturity since 1970). `loss` and `loss_sq` are sums of the clipped loss.

    tp fp fn tn are for binary tasks; `correct` for all that have classes; `abs_error`, `sq_error` and `quad_error` (the
    sums of the absolute error, its square and its fourth power) for numbers.
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
    abs_error: float = 0.0
    sq_error: float = 0.0
    quad_error: float = 0.0


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
    inputs: tuple[InputCounts, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    unmatched: dict[str, int] = {}
    uncounted: dict[str, int] = {}
    gaps: int = 0

    @property
    def holds(self) -> bool:
        """Whether anything would be lost with it."""
        return bool(self.models or self.uncounted or self.gaps)

    @property
    def models(self) -> set[str]:
        """The models of which something is counted."""
        parts = (self.traffic, self.quality, self.pairs, self.blocks, self.inputs, self.refusals)
        return {item.model for part in parts for item in part} | set(self.unmatched)


class Cursor(Record, frozen=True):
    """How far evidence has been read: per log file its byte offset, and the instant."""

    until: Instant = 0
    offsets: dict[str, int] = {}


class Evidence(Protocol):
    """Where counts come from: the live log or a backtest's frames."""

    def since(self, cursor: Cursor, until: Instant, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        """Counts of everything that became visible in (cursor, until]. Cutting the time otherwise gives the same sums."""
        ...
