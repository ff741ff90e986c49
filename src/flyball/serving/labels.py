"""Labels of a request, each checked alone so that a bad one stops only itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flyball.clock import Instant, Span, rfc3339
from flyball.errors import BadInput
from flyball.serving import explain, wal
from flyball.serving.explain import Member, shown
from flyball.serving.lists import ITEM, item_id
from flyball.serving.problems import Unparsable
from flyball.serving.table import Elsewhere, Served

_BODY = {"labels": Member((list,), "a list of labels", '[{"id": "…", "value": 1}]', required=True)}
_LABEL = {
    "id": Member((str,), "text, the id of the prediction", '"…"', required=True),
    "value": Member((int, float, str, bool), "a number, text, true or false", "1", required=True),
    "time": Member((str,), "text", '"2026-01-31T12:00:00Z"'),
    "attributes": Member((dict,), "an object", "{}"),
}
_OF_ITEM = _LABEL | {ITEM: Member((int, str), "text or a whole number, what was ranked", '"…"', required=True)}
_DEEPEST = 20
"""Levels of a label's attributes: whoever reads the log has less room to nest than who wrote it."""

UNTOLD: Instant = 0
"""The time of a label that does not say when it was known, of a prediction that was made elsewhere: it came on its own way, and that says nothing of it."""

_AHEAD = Span.parse("1d")
"""How far a label's time may lie ahead of this machine's: clocks differ, and zones are mistaken. Nobody knows what is to come."""


@dataclass(frozen=True, slots=True)
class Label:
    """One label; `at` is when it was known."""

    id: str
    value: int | float | str | bool
    at: Instant
    attributes: dict[str, Any] | None

    def frame(self, model: str, now_ns: int) -> bytes:
        """The record that goes into the log. Raises BadInput for what it cannot hold."""
        try:
            return wal.label_frame(model, self.id, self.value, self.at, now_ns=now_ns, attributes=self.attributes)
        except OverflowError:
            raise BadInput("an attribute is too large", why="integers have 64 bits", fix="send it as text") from None


def labels_of(body: bytes) -> list[Any]:
    """The labels of a request's body, not looked at yet. Raises Unparsable, TooLarge."""
    given = explain.load(body)
    problem = next(explain.check_members(given, _BODY, "the body"), None)
    if problem is not None:
        # a name may hold half of a surrogate pair, which is no text that could be sent
        told = (text.encode("utf-8", "backslashreplace").decode() for text in (problem.what, problem.why, problem.fix))
        what, why, fix = told
        raise Unparsable(what, why=why, fix=fix)
    labels: list[Any] = given["labels"]
    if not labels:
        raise Unparsable("the list of labels is empty", why="a request has at least one", fix='send {"labels": [{"id": "…", "value": 1}]}')
    explain.check_count(len(labels), "labels")
    return labels


def read_label(raw: Any, served: Served | Elsewhere, forged: Callable[[str], bool], now: Instant, *, guess: bool = True) -> Label:
    """One label, with the class that its value means and the time it was known. Raises BadInput.

    To `guess` which class a wrong one was meant to be costs a hundred times as much as to read a right one.
    """
    half = explain.half_pair(raw)
    if half:
        raise BadInput("the label has half of a surrogate pair", why=f"{half} alone is no character", fix="send whole characters")
    listed = served.signature.task == "ranking"
    problem = next(explain.check_members(raw, _OF_ITEM if listed else _LABEL, "a label"), None)
    if problem is not None:
        raise BadInput(problem.what, why=problem.why, fix=problem.fix)
    own = raw["id"]
    if not 0 < len(own) <= explain.LONGEST_ID:
        what = f"the id of the prediction has {len(own):,} characters" if own else "the id of the prediction is empty"
        raise BadInput(what, why=f"it has 1 to {explain.LONGEST_ID} characters", fix="send the id of the prediction")
    if forged(own):
        fix = "send the id that the prediction came with"
        raise BadInput(f"{shown(own)} is not an id that this project gave", why="its tag does not verify", fix=fix, code="forged-id")
    attributes = raw.get("attributes")
    if _deeper(attributes, _DEEPEST):
        raise BadInput("the attributes are nested too deeply", why=f"they have {_DEEPEST} levels at most", fix="send them flatter")
    if listed:
        item = str(raw[ITEM])
        if not 0 < len(item) <= explain.LONGEST_ID:
            raise BadInput(
                f"the item has {len(item):,} characters",
                why=f"an item has 1 to {explain.LONGEST_ID} characters",
                fix="send an item of the list",
            )
        own = item_id(own, item)
    return Label(own, value_of(raw["value"], served, guess=guess), _known_at(raw.get("time"), served, now), attributes)


def value_of(value: Any, served: Served | Elsewhere, *, guess: bool) -> int | float | str | bool:
    """The class that a value means, or the number that it is. Raises BadInput."""
    classes = served.signature.classes
    if isinstance(value, float) and not math.isfinite(value):
        kinds = f"one of its classes: {_some(classes)}" if classes else "a finite number"
        why = f"what {served.name} answers, and its label, is {kinds}"
        raise BadInput("the value is NaN or infinite", why=why, fix="leave out a label that is not known")
    if classes:
        for one in classes:
            if one == value and isinstance(one, str) == isinstance(value, str):
                return one
        raise BadInput(
            f"{shown(value)} is not a class of {served.name}", why=f"classes: {_some(classes)}", fix=_meant(value, classes, guess=guess)
        )
    if isinstance(value, str | bool):
        why = f"{served.name} is a {served.signature.task} model"
        raise BadInput(f"{shown(value)} is not a number", why=why, fix='send a number without quotes, such as "value": 1.5')
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadInput("the value is too large", why="integers have 64 bits", fix="send it as a float, such as 1e20")
    if value < 0 and served.signature.task == "ranking":
        raise BadInput(f"{shown(value)} is below 0", why="relevance is a number, 0 for none", fix="send 0 for an item that was not wanted")
    number: int | float = value
    return number


def _some(classes: tuple[Any, ...]) -> str:
    return ", ".join(map(shown, classes[:8])) + (" …" if len(classes) > 8 else "")


def _meant(value: object, classes: tuple[Any, ...], *, guess: bool) -> str:
    """What to send instead of a value that is no class."""
    if isinstance(value, str):
        if any(shown(one) == value for one in classes):
            return "send it without quotes"
        near = explain.near_name(value, [one for one in classes if isinstance(one, str)]) if guess else ""
        return f"did you mean {shown(near)}?" if near else "send one of these"
    return "send it in quotes" if any(one == shown(value) for one in classes) else "send one of these"


def _known_at(text: str | None, served: Served | Elsewhere, now: Instant) -> Instant:
    """When a label was known: now, where it does not say so. Of a model that is served elsewhere nobody can tell then: `UNTOLD`."""
    if text is None:
        return UNTOLD if isinstance(served, Elsewhere) else now
    return time_of(text, now, "when the label was known")


def time_of(text: str, now: Instant, what: str) -> Instant:
    """The moment of a `time`, which says `what`. Raises BadInput for what is none, and for what lies ahead."""
    try:
        at = explain.zoned(text)
    except (ValueError, OverflowError):
        raise BadInput(f"{shown(text)} is not a time", why="times are RFC 3339", fix='write "2026-01-31T12:00:00Z"') from None
    if at > now + _AHEAD:
        why = f"time is {what}, and it is {rfc3339(now)} here"
        raise BadInput(f"{shown(text)} lies in the future", why=why, fix=f"send {what.replace('the label', 'it')}, or leave time out")
    return at


def _deeper(value: Any, levels: int) -> bool:
    """Whether objects and lists are nested deeper than `levels`."""
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(_deeper(one, levels - 1) for one in (value.values() if isinstance(value, dict) else value))
