"""Two runs, or two versions, side by side: what they were made of and how good they are, and where that differs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flyball.records.base import Record
from flyball.records.commits import commit_text
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.models import Manifest
from flyball.records.training import RunResult, RunSpec

_LONGEST = 200
_MOST_PLACES = 40


class Side(NamedTuple):
    """One of the two. `declaration` is canonical JSON, `code` the snapshot's files, `commit` the Git commit of these; `manifest` and `result` are None
    of a run that gave none.
    """

    name: str
    spec: RunSpec
    declaration: str
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


def _declared(first: Side, second: Side) -> Iterator[Differs]:
    """The places of the declaration that differ; features are a topic of their own."""
    if first.declaration == second.declaration:
        return
    before, after = (dict(_flat("", json.loads(side.declaration))) for side in (first, second))
    differing = [place for place in sorted({*before, *after}) if before.get(place) != after.get(place)]
    for place in differing[:_MOST_PLACES]:
        topic = "features" if place.split(".")[0] in ("features", "transforms", "inputs") else "declaration"
        yield Differs(topic=topic, what=place, first=_text(before, place), second=_text(after, place))
    if len(differing) > _MOST_PLACES:
        more = f"and {len(differing) - _MOST_PLACES} more places"
        yield Differs(topic="declaration", what=more, first="", second="")


def _flat(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON value by its place: `train.search.depth`."""
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _flat(f"{place}.{name}" if place else name, each)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, each in enumerate(value):
            yield from _flat(f"{place}.{number}", each)
    else:
        yield place, value


def _files(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Differs]:
    for path in sorted({*first, *second}):
        if first.get(path) != second.get(path):
            yield Differs(topic="code", what=path, first=_lines(first.get(path)), second=_lines(second.get(path)))


def _lines(text: str | None) -> str:
    return "" if text is None else f"{len(text.splitlines())} lines"


def _environment(side: Side) -> dict[str, Any]:
    made = side.manifest
    return {} if made is None else {"python": made.python, "format": made.format} | dict(made.libraries)


def _run(side: Side) -> dict[str, Any]:
    spec, result = side.spec, side.result
    asked: dict[str, Any] = {"seed": spec.seed, "trials": spec.trials, "champion": spec.champion_version, "as of": spec.as_of}
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
