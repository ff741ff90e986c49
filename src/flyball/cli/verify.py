"""`flyball features verify`: every served feature value against the one that training would have had, exactly and row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, counted
from flyball.clock import rfc3339
from flyball.errors import Refused
from flyball.records.models import ModelRef
from flyball.records.skew import FeatureSkew, Skew

if TYPE_CHECKING:
    from flyball.loop.verifier import Verified
    from flyball.wiring import Wired

SHOWN, LISTED = 20, 1_000
"""Differences of a version that are shown to people, and in a document."""

_DIFFERS = (Skew.WRONG, Skew.MISSING, Skew.EXTRA, Skew.STALE)


def verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model, or one version of it; without one, every model with views")] = "",
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="rows logged since then: 24h (ago), or 2026-01-31T12:00:00Z")
    ] = "24h",
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, help="at most so many rows a version")] = 1_000,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compute served feature values again, as of their moments. Exit 1 where one is wrong, missing or extra; a store that was behind is told."""
    from flyball.loop.verifying import Sample

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        now = wired.ports.clock.now()
        ref = common.reference(model) if model else None
        if ref is not None and ref.version:
            ref = ModelRef(ref.model, common.find_reference(wired, model).version)
        elif ref is not None:
            common.declared(wired, ref.model)
        begin = common.moment("--since", since) if "T" in since else now - common.span("--since", since, example="24h")
        taken = Sample(sample)
        for row in wired.vectors().read(begin - 1):
            if _meant(wired, ref, row.version):
                taken.add(row)
        taken.cut()
        verifier = wired.verifier()
        found = [verifier.judge(version, rows) for version, rows in sorted(taken.rows.items())]
        told = _may_tell(wired)
    for one in found:
        _show(out, one, told=told)
    if any(one.count(Skew.UNKNOWN) for one in found):
        out.note("unknown: no version of the data set reaches the row's moment yet, or what it rested on is not held any more")
    if not found:
        out.line(f"nothing was answered with feature views since {rfc3339(begin)}")
    out.document({"since": rfc3339(begin), "sample": sample, "verified": [_document(one, told=told) for one in found]})
    return 1 if any(one.skewed for one in found) else 0


def _meant(wired: Wired, ref: ModelRef | None, version: str) -> bool:
    name, _, number = version.partition("@")
    if ref is None:
        return common.may_see(wired, name)
    return ref.model == name and ref.version in ("", number)


def _may_tell(wired: Wired) -> bool:
    """Whether the caller may see what is held of persons."""
    from flyball.loop.erasing import Disclose

    try:
        wired.permit(Disclose)
    except Refused:
        return False
    return True


def _counts(one: FeatureSkew | Verified, *, every: bool) -> str:
    """The counts in words: of what is not zero, or not equal either."""
    kinds = (Skew.EQUAL, *_DIFFERS, Skew.UNKNOWN) if every else _DIFFERS
    numbers = {kind: getattr(one, kind.value) if isinstance(one, FeatureSkew) else one.count(kind) for kind in kinds}
    return ", ".join(f"{number:,} {kind.value}" for kind, number in numbers.items() if number)


def _show(out: Output, one: Verified, *, told: bool) -> None:
    mood = "bad" if one.skewed else "unsure" if one.count(Skew.STALE) else "good"
    out.line(f"{one.model}@{one.version}  {counted(one.rows, 'row')}   {out.paint(_counts(one, every=True) or 'no value', mood)}")
    for problem in one.problems:
        out.line(f"  {problem}")
    for feature in one.features:
        if counts := _counts(feature, every=False):
            out.line(f"  {feature.view}.{feature.feature}: {counts} of {feature.checked:,}")
    rows = [_row(one, difference, told=told) for difference in one.worst_first[:SHOWN]]
    if rows:
        cells = [[_cell(row[name]) for name in ("row", "at", "feature", "key", "skew", "served", "offline")] for row in rows]
        out.table(("ROW", "AT", "FEATURE", "KEY", "HOW", "SERVED", "OFFLINE"), cells)
    if len(one.differences) > SHOWN:
        out.note(f"{len(one.differences) - SHOWN:,} more: --json lists {LISTED:,} of a version")


def _row(one: Verified, difference: Any, *, told: bool) -> dict[str, Any]:
    """A difference for a document: the key only where it says nothing of who a row is of, values of persons for those who may see them."""
    from flyball.loop.verifier import names_persons, of_persons

    assert one.declared is not None
    hidden = not told and of_persons(one.declared, difference.view)
    return {
        "row": difference.row,
        "at": rfc3339(difference.moment),
        "view": difference.view,
        "feature": difference.feature,
        "key": None if names_persons(one.declared, difference.view) else difference.key,
        "skew": difference.skew.value,
        "served": None if hidden else difference.served,
        "offline": None if hidden else difference.offline,
        "hidden": hidden,
    }


def _cell(value: Any) -> str:
    return "–" if value is None else repr(value) if isinstance(value, float) else str(value)


def _document(one: Verified, *, told: bool) -> dict[str, Any]:
    return {
        "model": one.model,
        "version": one.version,
        "rows": one.rows,
        "checked": one.checked,
        **{skew.value: one.count(skew) for skew in Skew},
        "features": list(one.features),
        "problems": list(one.problems),
        "differences": [_row(one, difference, told=told) for difference in one.worst_first[:LISTED]],
        "unlisted": max(len(one.differences) - LISTED, 0),
    }
