"""Two runs, or two versions, side by side: what they were made of and how good they are, and where that differs. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flyball.clock import rfc3339
from flyball.declare.difference import differences
from flyball.declare.model import Model
from flyball.records.base import Record
from flyball.records.commits import commit_text
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.models import Manifest
from flyball.records.training import RunResult, RunSpec

_LONGEST = 200
_MOST_PLACES = 40
_UNREAD = "written by another version of flyball, which this one cannot read"


class Side(NamedTuple):
    """One of the two. `model` is its declaration, None where this flyball cannot read it; `code` the snapshot's files, `commit` the Git commit of
    these; `manifest` and `result` are None of a run that gave none.
    """

    name: str
    spec: RunSpec
    model: Model | None
    code: Mapping[str, str]
    result: RunResult | None
    manifest: Manifest | None
    verdicts: tuple[Verdict, ...]
    commit: str = ""


class Differs(Record, frozen=True):
    """What is not the same: of `topic` (data, features, declaration, code, parameters, environment, run), `what`, in the first and the second."""

    topic: str
    what: str
    first: str
    second: str


class MetricBeside(Record, frozen=True):
    """A metric on the hold-out, or in one `slice` of it; null where one has not measured it. `difference`: second less first."""

    metric: str
    slice: str
    first: Estimate | None
    second: Estimate | None
    difference: float | None


class GateBeside(Record, frozen=True):
    """What a gate came to; null where one has no such gate."""

    gate: str
    slice: str
    first: Outcome | None
    second: Outcome | None


class Comparison(Record, frozen=True):
    """Two runs or versions side by side. Differences alone are listed, metrics and verdicts all of them."""

    first: str
    second: str
    differences: tuple[Differs, ...]
    metrics: tuple[MetricBeside, ...]
    verdicts: tuple[GateBeside, ...]


def compare(first: Side, second: Side) -> Comparison:
    """The two side by side."""
    return Comparison(
        first=first.name,
        second=second.name,
        differences=tuple(_differences(first, second)),
        metrics=tuple(_metrics(first.result, second.result)),
        verdicts=tuple(_verdicts(first.verdicts, second.verdicts)),
    )


def _differences(first: Side, second: Side) -> Iterator[Differs]:
    yield from _changed("data", first.spec.datasets, second.spec.datasets)
    yield from _declared(first, second)
    yield from _files(first.code, second.code)
    if first.code != second.code:
        yield from _changed("code", *({"commit": commit_text(side.commit)} for side in (first, second)))
    known = [side.result.parameters if side.result is not None else side.spec.parameters for side in (first, second)]
    yield from _changed("parameters", *known)
    yield from _changed("environment", _environment(first), _environment(second))
    yield from _changed("run", _run(first), _run(second))


def _changed(topic: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Differs]:
    for what in sorted({*first, *second}):
        if first.get(what) != second.get(what):
            yield Differs(topic=topic, what=what, first=_text(first, what), second=_text(second, what))


def _text(values: Mapping[str, Any], what: str) -> str:
    return _short(values[what]) if what in values else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_FEATURES = ("inputs", "features", "transforms")


def _declared(first: Side, second: Side) -> Iterator[Differs]:
    """What is declared otherwise, by the names of the arguments; features are a topic of their own."""
    unread = [side.model is None for side in (first, second)]
    if any(unread):
        yield Differs(topic="declaration", what="all of it", first=_UNREAD if unread[0] else "", second=_UNREAD if unread[1] else "")
    if first.model is None or second.model is None:
        return
    found = differences(first.model, second.model)
    for each in found[:_MOST_PLACES]:
        topic = "features" if each.where.split()[0] in _FEATURES else "declaration"
        yield Differs(topic=topic, what=each.where, first=_short(each.was), second=_short(each.now))
    if len(found) > _MOST_PLACES:
        yield Differs(topic="declaration", what=f"and {len(found) - _MOST_PLACES} more", first="", second="")


def _files(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Differs]:
    for path in sorted({*first, *second}):
        before, after = first.get(path), second.get(path)
        if before != after:
            yield Differs(topic="code", what=path, first=_lines(before, after), second=_lines(after, before))


def _lines(text: str | None, other: str | None) -> str:
    """How long a file is, and how many of its lines the other one does not have."""
    if text is None:
        return ""
    lines = text.splitlines()
    length = f"{len(lines):,} line{'' if len(lines) == 1 else 's'}"
    if other is None:
        return length
    alone = (Counter(lines) - Counter(other.splitlines())).total()
    return f"{length}, {alone:,} only here"


def _environment(side: Side) -> dict[str, Any]:
    made = side.manifest
    return {} if made is None else {"python": made.python, "format": made.format} | dict(made.libraries)


def _run(side: Side) -> dict[str, Any]:
    spec, result = side.spec, side.result
    asked: dict[str, Any] = {
        "seed": spec.seed,
        "trials": spec.trials,
        "champion": spec.champion_version,
        "as of": rfc3339(spec.as_of) if spec.as_of else "no time",
    }
    if result is None:
        return asked
    return asked | {
        "window": str(result.window),
        "rows": result.rows,
        "rows held out": result.holdout_rows,
        "CPU s": round(result.whole_cpu_s, 3),
    }


def _metrics(first: RunResult | None, second: RunResult | None) -> Iterator[MetricBeside]:
    yield from _measured("", first.metrics if first else {}, second.metrics if second else {})
    yield from _measured("", first.measured if first else {}, second.measured if second else {})
    before, after = first.by_slice if first else {}, second.by_slice if second else {}
    for part in dict.fromkeys((*before, *after)):
        yield from _measured(part, before.get(part, {}), after.get(part, {}))


def _measured(part: str, first: Mapping[str, Estimate], second: Mapping[str, Estimate]) -> Iterator[MetricBeside]:
    for name in dict.fromkeys((*first, *second)):
        before, after = first.get(name), second.get(name)
        values = [each.value if each is not None else None for each in (before, after)]
        difference = None if values[0] is None or values[1] is None else values[1] - values[0]
        yield MetricBeside(metric=name, slice=part, first=before, second=after, difference=difference)


def _verdicts(first: tuple[Verdict, ...], second: tuple[Verdict, ...]) -> Iterator[GateBeside]:
    before, after = ({(one.check, one.slice): one.outcome for one in each} for each in (first, second))
    for gate, part in dict.fromkeys((*before, *after)):
        yield GateBeside(gate=gate, slice=part, first=before.get((gate, part)), second=after.get((gate, part)))
