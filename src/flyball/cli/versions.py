"""`flyball data show` and `flyball data diff`: the versions of a data set, and what two of them do not have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, ago, dated
from flyball.clock import Instant, rfc3339
from flyball.ledger.bounds import counted
from flyball.loop import lookup
from flyball.loop.telling import first_of
from flyball.records.codec import plain
from flyball.records.data import DATASETS, ColumnStats, DatasetRow
from flyball.records.declarations import DECLARATIONS

if TYPE_CHECKING:
    from flyball.loop.comparing import Stored
    from flyball.loop.reads import Readers
    from flyball.records.base import State
    from flyball.records.difference import ColumnDifference, RowDifference, SchemaDifference
    from flyball.wiring import Wired

Name = Annotated[str, typer.Argument(metavar="NAME", help="a data set")]


def listed(name: str, row: DatasetRow) -> list[str]:
    """A data set on one line: its version in use, and what is wrong with its source."""
    head = row.head
    told = f"warns: {first_of([each.text for each in row.findings], row.unlisted)}" if row.findings else "ok"
    good = "stale: nothing new for longer than it may be" if row.stale_since else told
    wrong = f"refused: {first_of(row.violations)}" if row.violations else good if head else "–"
    if head is None:
        return [name, "–", "–", "–", wrong]
    return [name, head.version, f"{head.rows:,}", rfc3339(head.as_of) if head.as_of else "–", wrong]


def _row(wired: Wired, state: State, name: str) -> DatasetRow:
    """A data set that the caller may see. Raises NotFound."""
    row, seen = state.get(DATASETS, name), common.may_see_data(wired, state)
    if row is None or not seen(name):
        raise lookup.missing("data set", name, [key for key, _ in state.scan(DATASETS) if seen(key)])
    return row


def show(name: Name, *, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """One data set. Every version with its schema, parents and chunks, what was left out of it, where its rows lie, and the head's profile."""
    from flyball.data.commit import statistics
    from flyball.loop import comparing

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        row = _row(wired, state, name)
        found = comparing.stored(state, name, wired.blobs)
        stats = statistics(row.head, wired.blobs) if row.head is not None else ()
        read = _readers(wired, state, name)
    out.line(" ".join(listed(name, row)))
    numbers = {each.version.content: each.version.version for each in found}
    for each in found:
        for line in _version(each, numbers, now):
            out.line(f"  {line}")
    out.line(f"  lineage  {_lineage(read)}   → flyball lineage {name}")
    if stats:
        out.line()
        out.table(("COLUMN", "TYPE", "MISSING", "DISTINCT", "LOW", "HIGH", "MEAN"), [_profile(each) for each in stats])
    out.line(f"  {counted(row.violations):,} violations: {'; '.join(row.violations[:3])}") if row.violations else None
    for finding in row.findings:
        if finding.severity == "warn":
            out.line(f"  warning  {finding.text}")
    if row.unlisted:
        out.line(f"  and {row.unlisted:,} more findings   → flyball check --data")
    lineage = {"sources": read.sources, "views": read.views, "models": read.models}
    out.document({"name": name, **dated(row), "stats": stats, "versions": [_document(each) for each in found], "lineage": lineage})
    return 0


def _readers(wired: Wired, state: State, name: str) -> Readers:
    """Who reads a data set, of the models that the caller may see."""
    from flyball.loop import reads

    rows = [row for model, row in state.scan(DECLARATIONS) if common.may_see(wired, model)]
    models = (lookup.readable(wired.ports.library, row)[0] for row in rows)
    return reads.readers([model for model in models if model is not None], name)


def _lineage(read: Readers) -> str:
    views = [f"views {', '.join(read.views)}"] if read.views else []
    models = f"models {', '.join(read.models)}" if read.models else "no model"
    return " → ".join([*([", ".join(read.sources)] if read.sources else []), *views, models])


def _version(each: Stored, numbers: dict[str, str], now: Instant) -> list[str]:
    version, content = each.version, each.content
    lines = [
        f"{version.version:<9} {version.content[:12]}  {version.rows:,} rows"
        + (f"  known {ago(version.as_of, now)} ago" if version.as_of else "")
    ]
    if each.collected_at is not None:
        lines[0] += f"   let go {rfc3339(each.collected_at)[:10]}: its rows are not held any more"
    elif content != version.content:
        lines[0] += f"   rows lie under {content[:12]}: some were erased"
    parents = ", ".join(numbers.get(parent, parent[:12]) for parent in version.parents)
    shared = f", {each.shared:,} of them shared with {parents}" if each.shared is not None else ""
    told = [f"schema {version.schema_version} ({version.schema_hash[:12]})"] if version.schema_hash else []
    told += [f"{each.chunks:,} chunks{shared}"] if each.chunks is not None else []
    told += [f"after {parents}"] if parents and not shared else []
    lines.append(f"{'':<9} {', '.join(told)}")
    if version.erased:
        lines.append(f"{'':<9} {version.erased:,} rows of the source were left out: their persons were erased")
    return lines


def _document(each: Stored) -> dict[str, Any]:
    at = None if each.collected_at is None else rfc3339(each.collected_at)
    return {**dated(each.version), "present": each.content, "collected_at": at, "chunks": each.chunks, "chunks_shared": each.shared}


def _profile(each: ColumnStats) -> list[str]:
    numbers = [f"{value:.6g}" if value is not None else "–" for value in (each.low, each.high, each.mean)]
    return [each.name, each.dtype, f"{each.nulls:,}", f"{'about ' if each.estimated else ''}{each.distinct:,}", *numbers]


def diff(
    name: Name,
    before: Annotated[str, typer.Argument(metavar="A", help="a version: its number, or how its content begins")],
    after: Annotated[str, typer.Argument(metavar="B", help="another; default is the version in use")] = "",
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Two versions of a data set. Columns that came, went or changed type, rows that came or went, and how each column's values have moved."""
    from flyball.loop import comparing

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        state = wired.ports.ledger.state()
        _row(wired, state, name)
        old, new, found = comparing.compare(state, wired.ports.library, wired.blobs, name, before, after)
    out.line(f"{name}  {old.version} {old.content[:12]} → {new.version} {new.content[:12]}")
    for line in (*_schema(found.schema), *_rows(found.rows)):
        out.line(f"  {line}")
    out.line()
    out.table(("COLUMN", "MISSING", "DISTINCT", "MEAN", "DISTANCE", "VALUES"), [_column(each, found.rows) for each in found.columns])
    versions = {"before": {"version": old.version, "content": old.content}, "after": {"version": new.version, "content": new.content}}
    out.document({"name": name, **versions, **plain(found)})
    return 0


def _schema(found: SchemaDifference) -> list[str]:
    lines = [f"column came   {name}" for name in found.came] + [f"column went   {name}" for name in found.went]
    return lines + [f"type changed  {each.column}: {each.before} → {each.after}" for each in found.retyped]


def _rows(found: RowDifference) -> list[str]:
    shared = f"{found.chunks_shared:,} of {found.chunks_after:,} chunks shared"
    lines = [f"rows  {found.before:,} → {found.after:,}: {found.added:,} came, {found.removed:,} went   {shared}"]
    for sign, examples in (("+", found.added_examples), ("−", found.removed_examples)):
        lines += [f"{sign} {', '.join(f'{column} {value}' for column, value in example.items())}" for example in examples]
    return lines


def _column(each: ColumnDifference, rows: RowDifference) -> list[str]:
    def share(nulls: int, of: int) -> str:
        return f"{100 * nulls / of:.3g}%" if of else "–"

    missing_ = _moved(share(each.nulls_before, rows.before), share(each.nulls_after, rows.after))
    distinct = _moved(f"{each.distinct_before:,}", f"{each.distinct_after:,}")
    means = [f"{value:.6g}" if value is not None else "–" for value in (each.mean_before, each.mean_after)]
    distance = "–" if each.distance is None else f"{each.measure.upper()} {each.distance:.3g}"
    came = [*each.came, *([f"{each.more_came:,} more"] if each.more_came else [])]
    went = [*each.went, *([f"{each.more_went:,} more"] if each.more_went else [])]
    values = "; ".join(f"{what}: {', '.join(listed_)}" for what, listed_ in (("came", came), ("went", went)) if listed_)
    return [each.column, missing_, distinct, _moved(*means), distance, values]


def _moved(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
