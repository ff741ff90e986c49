"""What the API gives of a version's life: its card, advice against it, quarantine, deletion, notes and tags, and two side by side. It decides nothing."""

from __future__ import annotations

from flyball.api import answers, bodies
from flyball.api.asking import Answer, Asked
from flyball.api.reading import find_version
from flyball.loop import cards, describing, lifecycle, lookup, sides
from flyball.loop.ports import CommandT, Decide
from flyball.records.base import State
from flyball.records.models import ModelRef, parse_ref
from flyball.records.versions import VersionRow
from flyball.registry.compare import compare as side_by_side


def annotate(asked: Asked) -> Answer:
    """Change what is known of a version: `notes` are its known failure modes, all of them; `tags` are set, or taken off with null."""
    body: bodies.Noting = asked.body
    row = find_version(asked, asked.state())
    add, drop = lifecycle.replaced(row, body.notes) if body.notes is not None else ((), ())
    order = lifecycle.annotate(row, command=asked.command, actor=asked.caller.actor, add=add, drop=drop, tags=body.tags)
    receipt = asked.ports.ledger.execute(*order)
    after = _again(asked, row)
    return Answer(answers.Noted(model=row.model, version=row.version, known=after.known, tags=after.tags, event=receipt.last))


def card(asked: Asked) -> Answer:
    """A version's model card: YAML and Markdown, as the Hugging Face Hub reads it, and which of its texts nobody has written yet."""
    state = asked.state()
    row = find_version(asked, state)
    return Answer(_card(asked, state, row, 0))


def describe(asked: Asked) -> Answer:
    """Write a text of a version's card that only a person can write; an empty one makes it a blank again. Gates that rest on the card are judged anew."""
    body: bodies.Describing = asked.body
    row = find_version(asked, asked.state())
    order = describing.describe(asked.ports, row, command=asked.command, actor=asked.caller.actor, blank=body.blank, text=body.text)
    receipt = asked.ports.ledger.execute(*order)
    return Answer(_card(asked, asked.state(), _again(asked, row), receipt.last))


def _card(asked: Asked, state: State, row: VersionRow, event: int) -> answers.Card:
    found = cards.card(asked.ports, state, row, asked.now)
    return answers.Card(
        model=row.model, version=row.version, state=row.state, card=found.text, written=row.card, blanks=row.blanks, event=event
    )


def compare(asked: Asked) -> Answer:
    """Two versions of a model side by side: what differs of what they were made of, every metric whole and in slices, and every verdict."""
    state = asked.state()
    first = find_version(asked, state)
    second = lookup.version(state, parse_ref(f"{first.model}@{asked.path['other']}"))
    return Answer(side_by_side(*(sides.of_version(asked.ports, state, row, asked.now) for row in (first, second))))


def compare_runs(asked: Asked) -> Answer:
    """Two runs side by side, likewise."""
    rows = [lookup.run(asked.state(), asked.path[name], asked.sees) for name in ("run", "other")]
    for row in rows:
        asked.must_see(row.model)
    return Answer(side_by_side(*(sides.of_run(asked.ports, row) for row in rows)))


def judge_anew(asked: Asked) -> Answer:
    """Have a version judged by the gates that are declared now, which have not judged it. The loop does it; it costs no training."""
    row = find_version(asked, asked.state())
    return _give(asked, row, *lifecycle.judge(row, command=asked.command, actor=asked.caller.actor, reason=asked.reason))


def delete(asked: Asked) -> Answer:
    """Give up what a version is made of. Refused for what serves, or may be released."""
    row, model = find_version(asked, asked.state()), lookup.declared(asked.ports, asked.path["model"])
    return _give(
        asked, row, *lifecycle.delete(asked.ports, model, row, command=asked.command, actor=asked.caller.actor, reason=asked.reason)
    )


def deprecate(asked: Asked) -> Answer:
    """Advise against a version: whoever releases it is told, and the loop releases it no more by itself."""
    row = find_version(asked, asked.state())
    return _give(asked, row, *lifecycle.deprecate(row, command=asked.command, actor=asked.caller.actor, reason=asked.reason))


def undeprecate(asked: Asked) -> Answer:
    """Advise against a version no more."""
    row = find_version(asked, asked.state())
    return _give(asked, row, *lifecycle.undeprecate(row, command=asked.command, actor=asked.caller.actor, reason=asked.reason))


def quarantine(asked: Asked) -> Answer:
    """Take a version out of everything. Refused for what serves: it is rolled back first."""
    row, model = find_version(asked, asked.state()), lookup.declared(asked.ports, asked.path["model"])
    return _give(
        asked, row, *lifecycle.quarantine(asked.ports, model, row, command=asked.command, actor=asked.caller.actor, reason=asked.reason)
    )


def reinstate(asked: Asked) -> Answer:
    """Let a version out of quarantine: it is judged again."""
    row = find_version(asked, asked.state())
    return _give(asked, row, *lifecycle.reinstate(asked.ports, row, command=asked.command, actor=asked.caller.actor, reason=asked.reason))


def _give(asked: Asked, row: VersionRow, command: CommandT, decide: Decide[CommandT]) -> Answer:
    receipt = asked.ports.ledger.execute(command, decide)
    after = _again(asked, row)
    return Answer(answers.Judged(model=row.model, version=row.version, state=after.state, event=receipt.last, deprecated=after.deprecated))


def _again(asked: Asked, row: VersionRow) -> VersionRow:
    return lookup.version(asked.state(), ModelRef(model=row.model, version=row.version))
