"""Parts of a model card: how a version was trained and what that cost, what its answers rest on, how it is used, and what only a person can write. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.clock import rfc3339
from flyball.declare.units import shown_size
from flyball.records.commits import commit_text
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Report
from flyball.records.models import Field, Manifest
from flyball.records.training import RunResult
from flyball.records.versions import VersionRow
from flyball.registry.markdown import cell, flat, paragraphs, rows, shown

MOST_FEATURES = 10
GONE = "cannot be read any more"

_TITLES = {"out_of_scope": "What it must not be used for", "limitations": "Where it cannot be relied on", "ethics": "Whom it may harm"}
_MEASURED = {"size": "size of its files", "memory": "memory of a process that serves it"}


def blank(name: str) -> str:
    """The mark of a text that nobody has written."""
    return f"<!-- blank: {name} -->"


def text(row: VersionRow, name: str) -> Iterator[str]:
    """What a person wrote under a heading of its own, or the marked blank."""
    yield f"## {_TITLES[name]}"
    yield ""
    if name in row.card:
        written = row.card[name]
        # whoever writes of blanks leaves none, and nobody's text goes on in the next part
        yield paragraphs(written.text)
        yield ""
        yield f"({written.actor}, {rfc3339(written.at)})"
    else:
        yield blank(name)
        yield f'Not written yet: `flyball models card {row.model}@{row.version} --fill {name} "…"`'
    yield ""


def training(row: VersionRow, result: RunResult, manifest: Manifest | None) -> Iterator[str]:
    """Parameters, environment and cost: of the run as a whole, where it says so. What a version takes in service is there where its run measured it."""
    made, measured = result.environment, result.measured
    libraries = made.libraries if made is not None else manifest.libraries if manifest is not None else {}
    yield "## How it was trained"
    yield ""
    yield from rows(
        {
            "parameters": ", ".join(f"{name}={value}" for name, value in result.parameters.items()) or "the defaults of fit",
            "search": f"{result.trials} trials" if result.trials else "none",
            "Python": made.python if made is not None else manifest.python if manifest is not None else GONE,
            "libraries": ", ".join(f"{name} {version}" for name, version in libraries.items()) or GONE,
            **({"everything installed": made.lock[:12], "machine": f"{made.system}, {made.processor}"} if made is not None else {}),
            **({"code": _code(row, manifest), "declaration": manifest.declaration[:12]} if manifest is not None else {}),
            **_cost(result),
            **{title: _size(measured[name]) for name, title in _MEASURED.items() if name in measured},
        }
    )


def _code(row: VersionRow, manifest: Manifest) -> str:
    return manifest.code[:12] + (f", Git commit {commit_text(row.commit)}" if row.commit else "")


def _cost(result: RunResult) -> dict[str, str]:
    cost = result.cost
    if cost is None:
        return {"CPU": f"{result.cpu_s:,.1f} s, {result.fit_s:,.1f} s of it in fits", "cost": "not known"}
    money = f"{cost.money:.4g} {cost.currency}" if cost.money is not None else f"not known: {cost.why}"
    return {
        "CPU": f"{cost.cpu_s:,.1f} s",
        "memory of the run": shown_size(cost.peak_bytes),
        "energy": f"{cost.energy_wh:.3g} Wh ({cost.energy_by})",
        "cost": money,
    }


def _size(found: Estimate) -> str:
    return f"not known: {found.why}" if found.value is None else shown_size(found.value)


def explained(found: Report) -> Iterator[str]:
    """The features that matter most, as the run's permutations say."""
    yield "## What its answers rest on"
    yield ""
    if found.importances is None:
        yield f"- not looked into: {flat(found.missing.get('importances', 'its run made no report'))}"
    else:
        about = found.importances
        yield f"By how much {about.loss} rises from {about.mean_loss:.4g} when a feature's values are dealt out anew among {about.rows:,} held-out rows:"
        yield ""
        yield from (f"- {flat(one.feature)}: {shown(one.rise)}" for one in about.features[:MOST_FEATURES])
        if len(about.features) > MOST_FEATURES:
            yield f"- and {len(about.features) - MOST_FEATURES} more, each with less"
    yield ""


def use(row: VersionRow, result: RunResult) -> Iterator[str]:
    """How it is asked, and what a row holds."""
    ref, signature = f"{row.model}@{row.version}", result.signature
    yield "## How to use it"
    yield ""
    yield f"`POST /models/{ref}/predict` on a running flyball, or `flyball predict {ref} row.json`. A row holds:"
    yield ""
    yield "| field | type | allowed |"
    yield "|---|---|---|"
    for field in signature.fields:
        yield f"| {cell(field.name)} | {field.type}{' or null' if field.nullable else ''} | {cell(_allowed(field))} |"
    if signature.classes:
        yield ""
        yield f"It answers one of: {flat(', '.join(map(str, signature.classes)))}."


def _allowed(field: Field) -> str:
    if field.one_of is not None:
        return ", ".join(map(str, field.one_of[:20])) + (", …" if len(field.one_of) > 20 else "")
    low, high = ("" if end is None else f"{end:g}" for end in (field.low, field.high))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else "any"
