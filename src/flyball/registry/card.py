"""The model card of a version: what it is for, what it was made of, how good it is and for whom, and who approved it. Pure.

In the form of the Hugging Face Hub: YAML, then Markdown. All of it comes from the ledger, but for the texts that only a person can write: where nobody
has, there is a marked blank.
"""

from __future__ import annotations

from collections.abc import Iterator

from flyball.clock import Instant, rfc3339
from flyball.declare.framing import implied
from flyball.declare.model import Framing, Model
from flyball.evaluation.told import row_lines
from flyball.records.evaluation import Report
from flyball.records.models import Manifest
from flyball.records.training import RunResult
from flyball.records.versions import VersionRow
from flyball.registry import approvals, cardparts, report
from flyball.registry.frontmatter import front_matter
from flyball.registry.markdown import cell, flat, rows, shown

NO_REPORT = Report()


def card_of(
    model: Model, row: VersionRow, result: RunResult, now: Instant, found: Report = NO_REPORT, manifest: Manifest | None = None
) -> str:
    """The card of a version at a moment. `model` is what it was declared as, `result` the run's with every verdict, `found` the run's report,
    `manifest` what its artifact is made of (None: it cannot be read any more).
    """
    parts = (
        [front_matter(model, row, result, served=manifest.served if manifest else ""), f"# {row.model}@{row.version}", ""],
        _purpose(model, row),
        cardparts.text(row, "out_of_scope"),
        _data(model, row, result),
        cardparts.training(row, result, manifest),
        _quality(result),
        _slices(result),
        _groups(found),
        _rests_on(found),
        _known(row, found),
        cardparts.text(row, "limitations"),
        cardparts.text(row, "ethics"),
        cardparts.explained(found),
        _gates(model, row, result, now),
        [""],
        cardparts.use(row, result),
    )
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _purpose(model: Model, row: VersionRow) -> Iterator[str]:
    framing = model.framing
    yield "## What it is for"
    yield ""
    yield from rows(
        {
            "purpose": framing.purpose,
            "KPI": framing.kpi,
            "gain": framing.gain,
            "asked": _asked(framing),
            "risk": framing.risk,
            "owner": model.owner,
            "task": model.task,
            "state": row.state.value + (f", deprecated: {row.deprecated}" if row.deprecated else ""),
            **({"tags": ", ".join(f"{name}={value}" if value else name for name, value in row.tags.items())} if row.tags else {}),
        }
    )


def made(row: VersionRow) -> str:
    """When a version was made, or, of one that was made in another environment, when it was taken over from there."""
    return f"taken over from {row.origin} {rfc3339(row.registered_at)}, made" if row.origin else rfc3339(row.registered_at)


def _asked(framing: Framing) -> str:
    act = f", to be acted on within {framing.act_within}" if framing.act_within is not None else ""
    return (f"{framing.horizon} before the time that is predicted" if framing.horizon else "at the time that is predicted") + act


def _data(model: Model, row: VersionRow, result: RunResult) -> Iterator[str]:
    data = model.data
    freshness = f"{data.freshness} at most" if data.freshness is not None else ""
    yield "## What it was made of"
    yield ""
    yield from rows(
        {
            "data": ", ".join(f"{name} {content[:12]}" for name, content in row.data.items()),
            **({"features": row.features_digest.removeprefix("sha256:")[:12]} if row.features_digest else {}),
            "licence": data.licence,
            "freshness": freshness,
            "label": f"{model.label_column}, known {model.label_delay} after a row",
            "rows": f"{result.rows:,} {result.taken}, {result.holdout_rows:,} held out",
            "protected columns": ", ".join(name for name, column in data.columns.items() if column.protected) or "none declared",
            "made": f"{made(row)} by {row.run}",
            "artifact": row.artifact[:12],
        }
    )


def _quality(result: RunResult) -> Iterator[str]:
    yield "## How good it is on the hold-out"
    yield ""
    yield "| metric | value, 95% interval | champion then | baseline |"
    yield "|---|---|---|---|"
    for name, found in result.metrics.items():
        yield f"| {name} | {shown(found)} | {shown(result.champion.get(name))} | {shown(result.baseline.get(name))} |"
    yield ""


def _slices(result: RunResult) -> Iterator[str]:
    if not result.by_slice:
        return
    names = list(dict.fromkeys(name for found in result.by_slice.values() for name in found))
    yield "## For whom"
    yield ""
    yield f"| slice | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for part, found in result.by_slice.items():
        yield f"| {cell(part)} | {' | '.join(shown(found.get(name)) for name in names)} |"
    yield ""


def _groups(found: Report) -> Iterator[str]:
    if not found.groups:
        return
    yield "## How alike its groups are served"
    yield ""
    for each in found.groups:
        names = list(each.groups[0].metrics)
        yield f"| {cell(each.column)} | rows | {' | '.join(names)} |"
        yield f"|---|---|{'---|' * len(names)}"
        for group in each.groups:
            yield f"| {cell(group.value)} | {group.n:,} | {' | '.join(shown(group.metrics.get(name)) for name in names)} |"
        yield ""
        yield from (f"- {cell(line)}" for line in report.group_lines(each))
        yield ""


def _rests_on(found: Report) -> Iterator[str]:
    """What its run saw in the rows, at other times, and in simpler models."""
    lines = list(row_lines(found))
    if lines:
        yield "## What its figures rest on"
        yield ""
        yield from (f"- {topic}: {cell(line)}" for topic, line in lines)
        yield ""


def _known(row: VersionRow, found: Report) -> Iterator[str]:
    yield "## Where it is known to fail"
    yield ""
    if found.weak_slices is None:
        yield f"- weak slices were not looked for: {cell(found.missing.get('weak_slices', 'its run made no report'))}"
    elif not found.weak_slices.count:
        yield f"- no weak slice was found in {found.weak_slices.columns} columns and {found.weak_slices.pairs} pairs of them"
    for mode in report.failure_modes(found):
        yield f"- {cell(mode)} (found by its run)"
    for each in row.known:
        yield f"- {flat(each.text)} ({each.actor}, {rfc3339(each.at)})"
    yield ""


def _gates(model: Model, row: VersionRow, result: RunResult, now: Instant) -> Iterator[str]:
    yield "## How it was judged"
    yield ""
    for verdict in result.verdicts:
        place = f" in {verdict.slice}" if verdict.slice else ""
        yield f"- {verdict.outcome.value}: {flat(f'{verdict.check}{place}')}" + (f" ({flat(verdict.why)})" if verdict.why else "")
    for said in row.said:
        what = "approved" if said.yes else "rejected"
        yield f"- {what} by {said.actor} as {', '.join(said.roles)} at {rfc3339(said.at)}: {flat(said.reason)}"
    for waiver in row.waivers:
        part = f" in {waiver.slice}" if waiver.slice else ""
        over = " (expired)" if approvals.expired(waiver, now) else ""
        yield f"- {flat(f'{waiver.gate}{part} was {approvals.waiver_text(waiver)}')}{over}"
    watched = [str(one.check) for one in implied(model) if one.place == "monitors"]
    watched = [str(check) for check in model.monitors] + watched
    yield f"- watched in service: {'; '.join(dict.fromkeys(watched)) or 'by the detector of loss alone'}"
