"""The texts of a model card that only a person can write: how one is given, and decided. Pure, but for the order.

A gate may rest on them (`fb.metric("card_blanks") <= 0`): the version waits, and each text judges it again, by the verdicts of its own run.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.clock import Instant
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.ledger.bounds import fits
from flyball.loop.ports import Decide, Ports
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.training import RunResult
from flyball.records.versions import BLANKS, VERSIONS, VersionDescribed, VersionRow, VersionState, Written
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.states import RELEASED

LONGEST = 3_000

_JUDGED = (VersionState.HELD, VersionState.ELIGIBLE, VersionState.REJECTED, *RELEASED)


class Describe(Record, frozen=True):
    """Write a text of a version's card; empty: it is a blank again. `what` is the result that the version was judged by, `result` its blob."""

    id: str
    actor: str
    model: str
    version: str
    blank: str
    text: str
    result: str
    what: RunResult


def describe(ports: Ports, row: VersionRow, *, command: str, actor: str, blank: str, text: str) -> tuple[Describe, Decide[Describe]]:
    """Write a text of a version's card. Raises BadInput for a blank that no card has, or a text that is too long; NotFound where the result is gone."""
    if blank not in BLANKS:
        raise BadInput(f'a card has no blank "{blank[:40]}"', why=f"its blanks are {', '.join(BLANKS)}", fix=near(blank, BLANKS))
    if len(text) > LONGEST:
        raise BadInput(
            f"{blank} has {len(text):,} characters", why=f"it has {LONGEST:,} at most", fix="say the most important, and link the rest"
        )
    order = Describe(
        id=command,
        actor=actor,
        model=row.model,
        version=row.version,
        blank=blank,
        text=text.strip(),
        result=row.result,
        what=ports.library.result(row.result),
    )
    return order, decide_describe


def decide_describe(state: State, command: Describe, now: Instant) -> Sequence[Event] | Refusal:
    """What differs from what is written; and, where a gate rests on the card, what the version's verdicts then are."""
    ref = f"{command.model}@{command.version}"
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    if row is None:
        return Refusal(code="not-found", what=f"no version {ref}", fix=f"flyball models list {command.model}")
    if row.state is VersionState.DELETED:
        return Refusal(code="conflict", what=f"{ref} is deleted", why=row.retired_why, fix=f"train another: flyball train {row.model}")
    if row.result != command.result:
        return Refusal(code="conflict", what=f"{ref} was judged again just now", fix="look at it again: flyball models show")
    if (row.card[command.blank].text if command.blank in row.card else "") == command.text:
        return ()
    described = VersionDescribed(model=row.model, version=row.version, blank=command.blank, text=command.text)
    if not fits(described):
        return Refusal(code="refused", what=f"{command.blank} is too long", why="an event is small", fix="say it shorter")
    return (described, *_judged(row, command, now))


def _judged(row: VersionRow, command: Describe, now: Instant) -> Sequence[Event]:
    """The verdict that follows, where a gate rests on the card and the version is one that is judged at all."""
    if row.state not in _JUDGED or all(verdict.blanks is None for verdict in command.what.verdicts):
        return ()
    verdicts = approvals.lifted(_with_text(row, command, now), command.what.verdicts, row.gates_digest, now)
    return (registry.judge(row.model, row.version, verdicts, row.result, row.gates_digest, released=row.state in RELEASED),)


def _with_text(row: VersionRow, command: Describe, now: Instant) -> VersionRow:
    """The row as the command leaves its card."""
    card = {name: text for name, text in row.card.items() if name != command.blank}
    if command.text:
        card[command.blank] = Written(text=command.text, actor=command.actor, at=now)
    return msgspec.structs.replace(row, card=card)
