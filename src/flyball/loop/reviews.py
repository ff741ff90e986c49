"""The form of a review: what happened, what it cost, why, and what will be different, by whom and when; and the whole incident as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flyball.clock import Instant, Span, instant, to_second
from flyball.errors import BadInput, escaped
from flyball.incidents.impact import words
from flyball.incidents.playbook import mode_of
from flyball.ledger.bounds import clipped
from flyball.loop import lookup
from flyball.loop.causes import impact_of
from flyball.loop.deeds import Deed
from flyball.loop.memory import load
from flyball.loop.ports import Ports
from flyball.loop.timeline import Timeline
from flyball.records.alerts import ALERTS
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import Impact, IncidentRow, Review, ReviewAction

if TYPE_CHECKING:
    from flyball.loop.complained import About

MOST_ACTIONS = 20
_FORM = "WHAT; OWNER; DUE"
_MARKS = re.compile(r"[\\`*\[\]<>|&~]")
_BEGINS = re.compile(r"^(\d+(?=[.)]))?([#=_+.)-])")
"""What begins a heading, a list, or a rule at the beginning of a line; a hyphen after digits begins none."""
_SO = 'such as "watch the feed\'s schema; ana; 14d"'


def measured(ports: Ports, row: IncidentRow) -> Impact | None:
    """What an incident has cost by now; what was noted when it was mitigated where nothing can be counted any more."""
    state = ports.ledger.state()
    declared = state.get(DECLARATIONS, row.model) if row.model else None
    model = lookup.readable(ports.library, declared)[0] if declared is not None else None
    if model is None:
        return row.impact
    return impact_of(model, row, state.get(ALERTS, row.alert), load(ports.memory).monitor(row.model), ports.clock.now())


def form(ports: Ports, row: IncidentRow, *, what: str, why: str, impact: str, actions: Sequence[ReviewAction]) -> Review:
    """What a person filled in, with what was counted beside it. Raises BadInput for a form that says nothing, or too many actions."""
    if not what.strip():
        raise BadInput(
            "a review needs a text",
            why="an empty one teaches nobody",
            fix="say in a few sentences what happened and what will be different",
        )
    if len(actions) > MOST_ACTIONS:
        raise BadInput(f"{len(actions)} actions are too many", why="what everybody has to do nobody does", fix=f"{MOST_ACTIONS} at most")
    counted = measured(ports, row)
    said = impact.strip() or (words(counted) if counted is not None else "")
    return Review(what=clipped(what), why=clipped(why), impact=clipped(said), measured=counted, actions=tuple(actions))


def action(text: str, now: Instant) -> ReviewAction:
    """Read "WHAT; OWNER; DUE", with a time span from now or a moment (RFC 3339) for DUE. Raises BadInput."""
    parts = [part.strip() for part in text.split(";")]
    if len(parts) < 3 or not all(parts[-2:]) or not "; ".join(parts[:-2]).strip():
        raise BadInput(
            f'"{text[:80]}" is no action of a review', why="what nobody owns, or has no date, is not done", fix=f"{_FORM}, {_SO}"
        )
    return to_do("; ".join(parts[:-2]), parts[-2], parts[-1], now)


def to_do(what: str, owner: str, due: str, now: Instant) -> ReviewAction:
    """What will be different, who sees to it, and by when (as in `action`). Raises BadInput."""
    if not what.strip() or not owner.strip():
        raise BadInput("an action of a review needs a text and an owner", why="what nobody owns is not done", fix=_SO)
    try:
        at = Span.parse(due).after(now)
    except ValueError:
        try:
            at = instant(due)
        except (ValueError, OverflowError):
            why = "it is no time span, and no moment in RFC 3339"
            raise BadInput(f'due "{due[:40]}"', why=why, fix="14d, or 2026-09-01T00:00:00Z") from None
    if at <= now:
        raise BadInput(f'due "{due[:40]}"', why="an action that is due already cannot be kept", fix="name a later time")
    return ReviewAction(what=clipped(what, 500), owner=clipped(owner, 200), due=at)


def markdown(row: IncidentRow, told: Timeline, counted: Impact | None, done: Sequence[Deed], about: About | None = None) -> str:
    """The whole incident, for people who have no flyball, and nothing of any other. about: the answer that a complaint is about."""
    mode = mode_of(row.failure_mode)
    lines = [
        f"# {_line(row.what)}",
        "",
        f"{row.incident}, {row.model or 'the project'}: {mode.known_as if mode else _line(row.failure_mode)}. State: {row.state.value}.",
        "",
    ]
    lines += ["| | |", "|---|---|"]
    for name, at in (("opened", row.opened_at), ("mitigated", row.mitigated_at), ("reviewed", row.reviewed_at), ("closed", row.closed_at)):
        lines.append(f"| {name} | {to_second(at) if at else 'not yet'} |")
    lines += [f"| request | {_marked(escaped(row.request))} |"] if row.request else []
    lines += [f"| asked | {_line(str(about))} |"] if about is not None else []
    lines += [f"| owner | {_line(row.owner or 'nobody is named')} |", f"| actions taken | {_taken(done)} |"]
    lines += [f"| chosen, and not done | {undone} |"] if (undone := _not_taken(done)) else []
    lines += [f"| clocks that ran out | {', '.join(row.overdue) or 'none'} |", ""]
    review = row.review
    lines += ["## What happened", "", _lines(review.what) if review else "Not reviewed yet.", ""]
    impact = review.impact if review and review.impact else words(counted) if counted else "Not counted."
    lines += ["## Impact", "", _lines(impact), ""]
    lines += ["## Why", "", _lines(review.why) if review and review.why else _line(row.cause or "Not known."), ""]
    if row.causes:
        lines += ["Likely causes by the evidence, the likeliest first:", ""]
        lines += [
            f"{place}. {each.kind}: {_line(each.what)} (score {each.score:.2f}); {_line(each.evidence)}"
            for place, each in enumerate(row.causes, 1)
        ]
        lines.append("")
    lines += ["## What will be different", ""]
    if review and review.actions:
        lines += ["| what | owner | due |", "|---|---|---|"]
        lines += [f"| {_line(each.what)} | {_line(each.owner)} | {to_second(each.due)} |" for each in review.actions]
    else:
        lines.append("Nothing was written down.")
    lines += ["", "## Timeline", "", "| when | who | what |", "|---|---|---|"]
    lines += [f"| {to_second(each.at)} | {_line(each.actor)} | {_line(each.text)} |" for each in told.moments]
    lines += [f"\nMore events that are in the record: {told.left_out:,}."] if told.left_out else []
    lines += [f"\nEvents between the oldest and the newest that were not read: {told.unread:,}."] if told.unread else []
    return "\n".join(lines).rstrip() + "\n"


def _taken(done: Sequence[Deed]) -> str:
    return "; ".join(_line(f"{each.action} ({each.done})") for each in done if each.done) or "none"


def _not_taken(done: Sequence[Deed]) -> str:
    return "; ".join(_line(f"{each.action} ({each.why})") for each in done if not each.done)


def _line(text: str) -> str:
    """Text on one line that is what it says, in a paragraph and in a cell of a table: no Markdown, and no HTML."""
    return _marked(" ".join(text.split()))


def _marked(text: str) -> str:
    return _BEGINS.sub(r"\g<1>\\\g<2>", _MARKS.sub(r"\\\g<0>", text))


def _lines(text: str) -> str:
    """What a person wrote, in their lines."""
    return "\n".join(_line(line) for line in text.splitlines())
