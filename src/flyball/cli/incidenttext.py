"""An incident in text and as a document: its causes, its cost, its clocks, what was noted, and what happened around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyball.cli.output import Output, ago, dated
from flyball.cli.output import counted as number_of
from flyball.clock import Instant, rfc3339, to_second
from flyball.errors import escaped
from flyball.incidents.impact import words
from flyball.incidents.playbook import is_left, mode_of
from flyball.loop.timeline import FIRST, Timeline
from flyball.records.incidents import Impact, IncidentRow

if TYPE_CHECKING:
    from flyball.loop.complained import About
    from flyball.loop.raised import Raised


def shown(
    out: Output,
    row: IncidentRow,
    counted: Impact | None,
    told: Timeline,
    *,
    now: Instant,
    stake: str,
    clocks: tuple[str, str],
    about: About | None = None,
    raised: Raised | None = None,
) -> None:
    """Write it. stake: what the model is for; clocks: how far mitigation and review are; about: the answer that it is about; raised: what was raised."""
    mode = mode_of(row.failure_mode)
    there = f", by {row.owner or 'its owner'} where it is served" if is_left(row.notes) else ""
    out.line(f"{row.incident}  {row.model or 'the project'}   {row.state.value}   {row.what}")
    for name, value in (
        ("kind", f"{row.failure_mode.replace('_', ' ')}{f': {mode.meaning}' if mode else ''}"),
        ("cause", row.cause or "not known"),
        ("request", f"{escaped(row.request)}{'' if about is not None else '   not found in the prediction log'}" if row.request else ""),
        ("asked", str(about) if about is not None else ""),
        ("raised", str(raised) if raised is not None else ""),
        ("impact", words(counted) if counted is not None else ""),
        ("owner", row.owner),
        ("at stake", stake),
        ("opened", f"{to_second(row.opened_at)} ({ago(row.opened_at, now)} ago)"),
        ("mitigate", f"{clocks[0]}{there}" if not row.mitigated_at else clocks[0]),
        ("review", clocks[1]),
        ("actions", ", ".join(row.actions) or "none"),
        ("by hand", f"{'where it is served: ' if there else ''}{mode.human}" if mode else ""),
        ("on it", row.taken_by),
        ("rollout", row.rollout),
        ("overdue", ", ".join(row.overdue)),
    ):
        if value:
            out.line(f"  {name:<9} {value}")
    for place, cause in enumerate(row.causes, 1):
        out.line(f"  likely {place}  {cause.score:.2f}  {cause.kind}: {cause.what}; {cause.evidence}")
    _reviewed(out, row)
    for note in row.notes:
        out.line(f"  noted     {note}")
    for place, moment in enumerate(told.moments):
        if told.left_out and place == FIRST:
            out.line(f"            … {number_of(told.left_out, 'more event')}")
        out.line(f"  {to_second(moment.at)}  {moment.actor:<10} {moment.text}")
    if told.unread:
        out.line(
            f"            {number_of(told.unread, 'event')} between the oldest and the newest not read: flyball audit export DIR has all"
        )


def _reviewed(out: Output, row: IncidentRow) -> None:
    if row.review is None:
        return
    for name, value in (("happened", row.review.what), ("why", row.review.why), ("cost", row.review.impact)):
        if value:
            out.line(f"  {name:<9} {value}")
    for action in row.review.actions:
        out.line(f"  to do     {action.what} ({action.owner}, by {to_second(action.due)})")


def row_document(row: IncidentRow) -> dict[str, Any]:
    """An incident's row as a document, with moments as text wherever they stand."""
    found = dated(row) | {"causes": [dated(cause) for cause in row.causes], "impact": _impact(row.impact)}
    found["made_since"] = rfc3339(row.made_since) if row.made_since else None
    if row.review is not None:
        actions = [{"what": each.what, "owner": each.owner, "due": rfc3339(each.due)} for each in row.review.actions]
        found["review"] = dated(row.review) | {"actions": actions, "measured": _impact(row.review.measured)}
    return found


def about_document(about: About | None) -> dict[str, Any] | None:
    """The answer that an incident is about, as a document."""
    return None if about is None else dated(about) | {"at": rfc3339(about.at)}


def document(
    row: IncidentRow, counted: Impact | None, told: Timeline, about: About | None = None, raised: Raised | None = None
) -> dict[str, Any]:
    """The whole incident as a document."""
    moments = [{"seq": one.seq, "at": rfc3339(one.at), "actor": one.actor, "text": one.text} for one in told.moments]
    around = {"timeline": moments, "left_out": told.left_out, "unread": told.unread}
    return (
        row_document(row)
        | {"counted": _impact(counted), "about": about_document(about), "raised": None if raised is None else dated(raised)}
        | around
    )


def _impact(found: Impact | None) -> dict[str, Any] | None:
    return None if found is None else dated(found) | {"until": rfc3339(found.until)}
