"""One sentence in four places: a check is `metric OP bound`, and it prints as it reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, TypeAlias

from flyball.clock import Span
from flyball.declare.units import Money, count, fail, fill, finite, is_size, money, names, one_of, share, shown_size, size, span, text
from flyball.errors import DeclarationError

Op = Literal[">=", ">", "<=", "<"]
_SHOWN: dict[str, str] = {">=": "≥", ">": ">", "<=": "≤", "<": "<"}


def _number(value: float) -> str:
    return f"{value:.12g}".replace("-", "−")


@dataclass(frozen=True)
class Reference:
    """The same metric of another version, `times` and `plus` some: `champion − 0.02`, `baseline × 0.9`."""

    of: Literal["champion", "baseline", "at_release"]
    times: float = 1.0
    plus: float = 0.0

    def __add__(self, other: float) -> Reference:
        return replace(self, plus=_tidy(self.plus + finite(other, self.of)))

    __radd__ = __add__

    def __sub__(self, other: float) -> Reference:
        return self + -finite(other, self.of)

    def __mul__(self, other: float) -> Reference:
        factor = finite(other, self.of)
        return replace(self, times=_tidy(self.times * factor), plus=_tidy(self.plus * factor))

    __rmul__ = __mul__

    def __str__(self) -> str:
        """Write it as a formula."""
        out: str = self.of
        if self.times != 1.0:
            out += f" × {_number(self.times)}"
        if self.plus:
            out += f" {'+' if self.plus > 0 else '−'} {_number(abs(self.plus))}"
        return out


def _tidy(value: float) -> float:
    # 1.1 * 0.02 leaves a tail in the last bits that would show in the text and change the digest
    return float(f"{value:.12g}")


champion = Reference("champion")
baseline = Reference("baseline")
at_release = Reference("at_release")


class _NoTruth:
    def __bool__(self) -> NoReturn:
        raise DeclarationError(
            f'"{self}" has no truth value while the file is read',
            why="a check is evaluated later, on evidence; `and`, `or`, `not` and chained comparisons need an answer now",
            fix="list checks for all of them, write a | b for either",
        )


@dataclass(frozen=True, init=False)
class Check(_NoTruth):
    """`metric OP bound`. With unit "ms" the bound is a time in milliseconds, with "B" a size in bytes; a currency says money; else it has no unit."""

    metric: Metric
    op: Op
    bound: float | Reference
    unit: str

    def __init__(self, metric: Metric, op: Op, bound: str | float | Span | Reference | Money, unit: str = "") -> None:
        parsed, found = _bound(metric, bound)
        fill(self, {"metric": metric, "op": op, "bound": parsed, "unit": unit or found})

    def __or__(self, other: Check | AnyOf | Approval | Drift) -> AnyOf:
        return _either(self, other)

    def __str__(self) -> str:
        """Write it as it reads: `accuracy in each day ≥ champion − 0.05`."""
        if isinstance(self.bound, Reference):
            bound = str(self.bound)
        elif self.unit == "ms":
            bound = str(Span(round(self.bound * 1000)))
        elif self.unit == "B":
            bound = shown_size(self.bound)
        else:
            bound = f"{_number(self.bound)} {self.unit}".strip()
        return f"{self.metric} {_SHOWN[self.op]} {bound}"


def _bound(metric: Metric, given: Any) -> tuple[float | Reference, str]:
    if isinstance(given, Reference):
        return given, ""
    if isinstance(given, Span):
        return given / 1000, "ms"
    if isinstance(given, Money):
        return given.amount, given.currency
    if isinstance(given, str):
        written = given.strip()
        if written.endswith("%"):
            return share(written, str(metric)), ""
        if is_size(written):
            return float(size(written, str(metric))), "B"
        if written[-3:].isupper():
            amount = money(written, str(metric))
            return amount.amount, amount.currency
        return span(written, str(metric)) / 1000, "ms"
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise fail(str(metric), f"{given!r} is not a bound", fix='compare with a number, a quantity such as "50ms", or fb.champion')
    return finite(given, str(metric)), ""


@dataclass(frozen=True, init=False)
class AnyOf(_NoTruth):
    """Any one of these is enough."""

    checks: tuple[Check | Approval | Drift, ...]

    def __init__(self, checks: Iterable[Check | Approval | Drift]) -> None:
        fill(self, {"checks": tuple(checks)})

    def __or__(self, other: Check | AnyOf | Approval | Drift) -> AnyOf:
        return _either(self, other)

    def __str__(self) -> str:
        """Write the alternatives, joined by `or`."""
        return " or ".join(str(check) for check in self.checks)


@dataclass(frozen=True)
class Approval(_NoTruth):
    """`count` persons with `role` say yes; the author's own yes does not count."""

    role: str
    count: int = 1

    def __or__(self, other: Check | AnyOf | Approval | Drift) -> AnyOf:
        return _either(self, other)

    def __str__(self) -> str:
        """Write `approval by 1 risk-officer`."""
        return f"approval by {self.count} {self.role}"


@dataclass(frozen=True)
class Drift(_NoTruth):
    """Drift by the default statistics, of inputs, of predictions or of labels; `columns` empty means all of them. `window` None: weeks, and
    a thousand rows; a day: each against the same day of the week.
    """

    of: Literal["inputs", "predictions", "labels"]
    columns: tuple[str, ...] = ()
    window: Span | None = None

    def __or__(self, other: Check | AnyOf | Approval | Drift) -> AnyOf:
        return _either(self, other)

    def __str__(self) -> str:
        """Write `drift of inputs (base_rate) in windows of 1d`."""
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"drift of {self.of}{columns}" + (f" in windows of {self.window}" if self.window is not None else "")


Sentence: TypeAlias = Check | AnyOf | Approval | Drift


def _either(left: Sentence, right: Sentence) -> AnyOf:
    if not isinstance(right, Check | AnyOf | Approval | Drift):
        raise fail(str(left), f"{right!r} is not a check", fix="write a | b with checks on both sides")
    parts: list[Check | Approval | Drift] = []
    for side in (left, right):
        parts.extend(side.checks if isinstance(side, AnyOf) else (side,))
    return AnyOf(parts)


@dataclass(frozen=True)
class Metric:
    """A metric, whole or in each of `slices` (set by `.by`), as the gap between the groups of a column, over a span of time.

    `bound` says which end of its interval is compared with a number; empty: the estimate.
    """

    name: str
    slices: tuple[str, ...] = ()
    of_gap: str = ""
    span: Span | None = None
    bound: Literal["", "lower", "upper"] = ""

    def by(self, *slices: str) -> Metric:
        """In each value of each of these slices."""
        return replace(self, slices=names(slices, f"{self.name}.by"))

    def gap(self, column: str) -> Metric:
        """The largest difference between two groups of a column."""
        return replace(self, of_gap=text(column, f"{self.name}.gap"))

    def over(self, span: str | Span) -> Metric:
        """Over the last `span` of labelled time."""
        return replace(self, span=_span(span, f"{self.name}.over", least=1))

    @property
    def lower(self) -> Metric:
        """The lower end of its 95% interval."""
        return replace(self, bound="lower")

    @property
    def upper(self) -> Metric:
        """The upper end of its 95% interval."""
        return replace(self, bound="upper")

    def __ge__(self, other: str | float | Span | Reference | Money) -> Check:
        return Check(self, ">=", other)

    def __gt__(self, other: str | float | Span | Reference | Money) -> Check:
        return Check(self, ">", other)

    def __le__(self, other: str | float | Span | Reference | Money) -> Check:
        return Check(self, "<=", other)

    def __lt__(self, other: str | float | Span | Reference | Money) -> Check:
        return Check(self, "<", other)

    def __str__(self) -> str:
        """Write `accuracy in each day over 7d`, `upper bound of recall gap across sex`."""
        out = f"{self.bound} bound of {self.name}" if self.bound else self.name
        out += f" gap across {self.of_gap}" if self.of_gap else ""
        out += f" in each {', '.join(self.slices)}" if self.slices else ""
        return out + (f" over {self.span}" if self.span else "")


_span = span


def metric(name: str) -> Metric:
    """Name a metric.

    >>> str(metric("accuracy").by("day") >= champion - 0.05)
    'accuracy in each day ≥ champion − 0.05'
    """
    return Metric(text(name, "metric"))


def approval(role: str, *, count: int = 1) -> Approval:
    """Ask for a person's yes, never the author's."""
    return Approval(text(role, "approval"), _count(count, "count", least=1))


_count = count


def drift(of: str = "inputs", *, columns: Iterable[str] = (), window: str | Span | None = None) -> Drift:
    """Drift of `"inputs"`, `"predictions"` or `"labels"`. `window="1d"`: day by day, each against the same day of the week; left out (or `"7d"`), by weeks
    and by thousands of rows.

    >>> str(drift("labels")), str(drift(columns=["amount"], window="1d"))
    ('drift of labels', 'drift of inputs (amount) in windows of 1d')
    """
    asked = None if window is None else _span(window, "drift window", least=1)
    if asked is not None and asked not in _WINDOWS:
        raise fail(
            "drift window",
            f"{asked} is no window of drift",
            why="a season is a week or a day: any other window would hold another part of it each time",
            fix='write window="1d", or leave it out for weeks',
        )
    kept = asked if asked == DAILY else None
    return Drift(one_of(of, ("inputs", "predictions", "labels"), "drift"), names(columns, "columns"), kept)


DAILY = Span.parse("1d")
"""The window of drift that is looked at by request only."""

_WINDOWS = (DAILY, Span.parse("7d"))


_COMPARED = re.compile(r"\s*([a-z][a-z0-9_@]*)\s*(>=|<=|≥|≤|>|<)\s*(\S.*?)\s*")
_REFERENCES = ("champion", "baseline", "at_release")


def not_a_gate(place: str, given: object) -> DeclarationError:
    """The error for what stands among gates and is none, with what was probably meant: `"accuracy > 0.7"` is a text, and a metric alone asks nothing."""
    if isinstance(given, Metric):
        fix = _written(given.name) or f'write fb.metric("{given.name}") >= … or <= …'
        return fail(place, f"{given} is compared with nothing", why="a gate is a metric and its bound", fix=fix)
    fix = _written(given) or 'write fb.metric("accuracy") >= fb.champion - 0.02'
    if isinstance(given, bool):
        return fail(place, f"{given} is not a gate", why="metrics are compared with >=, >, <= and <; == and != make no check", fix=fix)
    why = "a text is not read as a check: comparing a metric makes one" if isinstance(given, str) else ""
    return fail(place, f"{given!r:.80} is not a gate", why=why, fix=fix)


def _written(text: object) -> str:
    """How a comparison that stands in a text is declared; empty for any other text."""
    found = _COMPARED.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return ""
    name, op, bound = found[1], {"≥": ">=", "≤": "<="}.get(found[2], found[2]), found[3]
    if bound.startswith(_REFERENCES):
        bound = f"fb.{bound}"
    elif not re.fullmatch(r"-?[\d.]+", bound):
        bound = f'"{bound}"'
    return f'write fb.metric("{name}") {op} {bound}'
