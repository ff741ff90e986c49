"""A list to be ranked: what a request of it is, and what its answer is.

A request is one list: `row` holds what is the same for all of its items, `items` names each with what is its own. It becomes one row an item, which
one version answers together and one record logs: answered ⊆ logged as for every other request. A list in the form that the schema shows is one typed
JSON decode; any other is read slowly, which is the specification, with every problem there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from operator import itemgetter
from typing import Annotated, Any

import msgspec

from flyball.errors import BadInput, Problem
from flyball.records.models import Field, Signature
from flyball.serving import explain
from flyball.serving.explain import Marks, Row, Value, pointer, shown
from flyball.serving.problems import Unparsable
from flyball.serving.validate import Listed, Request, RowReader, field_type, per_row, refuse, times_of

ITEM = "item"
"""What an item is called in requests, answers and labels, whatever its column is called."""

_MEMBERS = ("row", "items", "id", "key", "time")
_FORM = 'send {"row": {…}, "items": [{"item": …, …}, …]}'


def item_id(request_id: str, item: object) -> str:
    """The id under which the log has an item of a list, and a label finds it."""
    return f"{request_id}/{item}"


def fits_no_tensors(name: str) -> BadInput:
    """What a caller of a ranking is told who sends rows without a list."""
    return BadInput(
        f"{name} ranks lists, and a request of rows or tensors says nothing of them",
        why="what is the same for all items of a list, and what an item is called, have no place there",
        fix=f"POST /models/{name}/predict with row and items",
    )


class ListReader(RowReader):
    """Reads requests of a ranking's signature. Made once for a route; safe to share."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._own = frozenset(signature.item_fields)
        self._form = _Form(signature)

    def read(self, body: bytes) -> Request:
        """Read a list (docs/http.md). Raises Unparsable, TooLarge, or BadInput with every problem."""
        try:
            return self._at_once(body)
        except (msgspec.MsgspecError, BadInput, ValueError, OverflowError, RecursionError):
            return self.read_slowly(explain.parse(body))

    def _at_once(self, body: bytes) -> Request:
        """A list in the schema's own form. Raises ValueError, or what the decoder raises, for any other."""
        asked, rows, items = self._form.read(body)
        if self._again:
            rows = [self._second_look(row) for row in rows]
        listed = Listed(items, asked.id, asked.key)
        return Request(rows, times=None if asked.time is None else [explain.zoned(asked.time)] * len(rows), listed=listed)

    def read_slowly(self, given: Any) -> Request:
        """Read a parsed body. Raises Unparsable, TooLarge, or BadInput with every problem."""
        if not isinstance(given, dict):
            raise Unparsable("the body is not an object", fix=_FORM)
        problems = explain.first(_strange(given))
        items = given.get("items")
        if not isinstance(items, list) or not items:
            problems.append(Problem("/items", "items is a list of at least one item", fix=_FORM))
            items = []
        explain.check_count(len(items), "items")
        rows, marks, found = self._rows_of(given.get("row", {}), items)
        problems += found
        ids, keys = (per_row(given, one, single=True, count=1, problems=problems) for one in ("id", "key"))
        moments = times_of(per_row(given, "time", single=True, count=1, problems=problems), single=True, problems=problems)
        if problems:
            raise refuse(problems)
        listed = Listed([one[ITEM] for one in items], ids[0] if ids else None, keys[0] if keys else None)
        return Request(rows, times=moments * len(rows) if moments else None, marks=marks if any(marks) else None, listed=listed)

    def read_columns(self, columns: Mapping[str, Any], root: str = "columns") -> Request:  # noqa: ARG002 - the reader of rows has them
        """Refuse. Raises BadInput."""
        raise fits_no_tensors("the model")

    def _rows_of(self, row: Any, items: list[Any]) -> tuple[list[Row], list[Marks | None], list[Problem]]:
        shared = _Shared(self.signature, row)
        problems, rows, marks = shared.problems, list[Row](), list[Marks | None]()
        seen: set[Any] = set()
        for index, one in enumerate(items):
            if len(problems) > explain.MOST_PROBLEMS:
                break
            if not isinstance(one, dict):
                problems.append(Problem(pointer("items", index), "an item is an object", fix='send {"item": …, "field": value, …}'))
                continue
            values, own, found = self._item(one, shared, index)
            problems += found
            problems += _twice(one.get(ITEM), seen, index)
            rows.append(tuple(values))
            marks.append(own or None)
        return rows, marks, problems

    def _item(self, one: dict[str, Any], shared: _Shared, index: int) -> tuple[list[Value], Marks, list[Problem]]:
        """An item's values in signature order: its own, else the list's."""
        marks, values = dict(shared.marks), list[Value]()
        problems = list(_unknown(one, {ITEM, *shared.known} - {self.signature.item}, "items", index))
        for field in self.signature.fields:
            name = ITEM if field.name == self.signature.item else field.name
            where = pointer("items", index, name)
            if name in one:
                marks.pop(field.name, None)
                checked = explain.settle_value(one[name], field, where, marks)
            elif name in shared.values:
                checked = shared.values[name]
            elif name in shared.broken:
                continue
            elif field.on_request != "refuse":
                checked = explain.settle_value(None, field, where, marks)
            else:
                checked = self._missing(field, where, shared)
            if isinstance(checked, Problem):
                problems.append(checked)
            else:
                values.append(checked)
        return values, marks, problems

    def _missing(self, field: Field, where: str, shared: _Shared) -> Problem:
        if field.name in self._own:
            name = ITEM if field.name == self.signature.item else field.name
            return Problem(where, "the field is missing", "each item has its own", f'send "{name}" in the item')
        # of what is the same for all items it is said once
        shared.broken.add(field.name)
        return Problem(
            pointer("row", field.name), "the field is missing", "the signature names it", f'send "{field.name}" in row, for the whole list'
        )


class _Form:
    """The schema's own form of a list as a typed decode: in `row` what is the same for all items, in each item what differs, and nothing else."""

    def __init__(self, signature: Signature) -> None:
        fields = signature.fields
        own = [field for field in fields if field.name in signature.item_fields]
        whole = [field for field in fields if field not in own]
        # a name that JSON escapes is none of a typed decode
        self._typed = bool(own) and not any(set(field.name) & {'"', "\\"} for field in fields)
        text = Annotated[str, msgspec.Meta(min_length=1, max_length=explain.LONGEST_ID)]
        item, row = (_struct(part, signature.item if self._typed else "", typed=self._typed) for part in (own, whole))
        items = Annotated[list[item], msgspec.Meta(min_length=1, max_length=explain.MOST_ROWS)]  # type: ignore[valid-type]  # made here
        members: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("row", row),
            ("items", items),
            ("id", text | None, None),
            ("key", text | None, None),
            ("time", str | None, None),
        ]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(msgspec.defstruct("List", members, forbid_unknown_fields=True)).decode
        places = {field.name: place for place, field in enumerate((*whole, *own))}
        self._order = itemgetter(*(places[field.name] for field in fields)) if len(fields) > 1 else tuple
        self._item = [field.name for field in own].index(signature.item) if self._typed else 0
        texts = [[(place, field) for place, field in enumerate(part) if field.type in ("str", "time")] for part in (whole, own)]
        self._nullable = [[place for place, field in part if field.nullable] for part in texts]
        # "row", "items", every name, and every text that is always there
        fixed = [len(part) + sum(not field.nullable for _, field in found) for part, found in zip((whole, own), texts, strict=True)]
        self._quotes = (2 * (2 + fixed[0]), 2 * fixed[1])

    def read(self, body: bytes) -> tuple[Any, list[Row], list[Any]]:
        """(the decoded body, rows in signature order, the items). Raises what the decoder raises, and ValueError for what must be read slowly."""
        if not self._typed:
            raise ValueError("a name that JSON escapes")
        asked = self._decode(body)
        astuple, order = msgspec.structs.astuple, self._order
        whole, each = astuple(asked.row), [astuple(one) for one in asked.items]
        items = [one[self._item] for one in each]
        if body.count(b'"') != self._count(asked, whole, each) or len(set(items)) < len(items):
            raise ValueError("a name or an item may be there twice")
        if isinstance(items[0], str) and max(map(len, items)) > explain.LONGEST_ID:
            raise ValueError("an item is too long")
        return asked, [order(whole + one) for one in each], items

    def _count(self, asked: Any, whole: Row, each: list[Row]) -> int:
        """Quotes of a body in which no name is there twice: of two, the decoder takes the last. One in a text makes for more."""
        quotes = self._quotes[0] + self._quotes[1] * len(each)
        quotes += 4 * ((asked.id is not None) + (asked.key is not None) + (asked.time is not None))
        for places, rows in zip(self._nullable, ((whole,), each), strict=True):
            quotes += 2 * sum(row[place] is not None for place in places for row in rows)
        return quotes


def _struct(fields: list[Field], item: str, *, typed: bool) -> Any:
    members = [(f"f{place}", field_type(field)) for place, field in enumerate(fields)]
    names = {f"f{place}": ITEM if field.name == item else field.name for place, field in enumerate(fields)} if typed else {}
    return msgspec.defstruct("Part", members, rename=names, forbid_unknown_fields=True, gc=False)


class _Shared:
    """What a list says of all of its items: checked once."""

    def __init__(self, signature: Signature, row: Any) -> None:
        self.known = {field.name for field in signature.fields}
        self.values: dict[str, Value] = {}
        self.marks: Marks = {}
        self.broken: set[str] = set()
        self.problems: list[Problem] = []
        if not isinstance(row, dict):
            self.problems.append(Problem("/row", "row is an object: what is the same for all items", fix='send {"field": value, …}'))
            self.broken = self.known
            return
        self.problems += explain.first(_unknown(row, self.known - {signature.item}, "row"))
        for field in signature.fields:
            if field.name not in row or field.name == signature.item or len(self.problems) > explain.MOST_PROBLEMS:
                continue
            checked = explain.settle_value(row[field.name], field, pointer("row", field.name), self.marks)
            if isinstance(checked, Problem):
                self.problems.append(checked)
                self.broken.add(field.name)
            else:
                self.values[field.name] = checked


def _strange(given: dict[str, Any]) -> Iterator[Problem]:
    for name in ("rows", "columns"):
        if name in given:
            yield Problem(pointer(name), f"{name} are of models that answer rows", "this one ranks the items of one list", _FORM)
    yield from explain.strange([name for name in given if name not in ("rows", "columns")], _MEMBERS, "a request")


def _unknown(found: Collection[str], known: Collection[str], *at: str | int) -> Iterator[Problem]:
    for name in found:
        if name not in known:
            near = explain.near_name(name, known)
            fix = f'did you mean "{near}"?' if near else "leave it out"
            yield Problem(pointer(*at, name), "there is no such field", "the signature does not name it", fix)


def _twice(item: Any, seen: set[Any], index: int) -> Iterator[Problem]:
    """Whether an item cannot be told from another, or not be named by a label."""
    if not isinstance(item, int | str):
        return
    text = str(item)
    if len(text) > explain.LONGEST_ID:
        what = f"the item has {len(text):,} characters"
        yield Problem(pointer("items", index, ITEM), what, f"an item has {explain.LONGEST_ID} at most", "shorten it")
    if text in seen:
        yield Problem(pointer("items", index, ITEM), f"{shown(item)} is in the list twice", "a label names one item", "send it once")
    seen.add(text)


def ranked(items: list[Any], output: list[list[Any]], marks: list[Marks | None] | None) -> list[dict[str, Any]]:
    """The items with their scores, best first; of equal ones, the one that was sent first."""
    places = sorted(range(len(items)), key=lambda place: -float(output[place][0]))
    answered = []
    for place in places:
        one: dict[str, Any] = {ITEM: items[place], "score": output[place][0]}
        if marks and marks[place]:
            one["marks"] = marks[place]
        answered.append(one)
    return answered
