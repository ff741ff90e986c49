"""Transforms of a few rows, computed without a query: on one row Polars spends a hundred times more on the plan than on the numbers.

An expression is read from the form that Polars writes it in. Of a small set of nodes each has a plain function with Polars' own semantics
(nulls, total order of NaN, division by zero, types); an expression with any other node is not taken. What was made of it is then held to
Polars on rows that look for a difference, to the last bit and of the same type, and dropped if there is one. So there are not two meanings,
only two ways.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

Value: TypeAlias = float | int | bool | str | None
Row: TypeAlias = Sequence[Any]
Step: TypeAlias = Callable[[Row], Any]

MOST_ROWS = 16
"""Beyond it a query is as cheap."""

_KINDS: dict[Any, str] = {pl.Float64: "float", pl.Int64: "int", pl.Boolean: "bool", pl.String: "str"}
_DTYPES: dict[str, Any] = {"float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "str": pl.String}
_INT = 2**63
_PROBES = 400


class Beyond(ArithmeticError):
    """A row whose value only Polars gives (a whole number beyond 64 bits)."""


class _NotTaken(Exception):
    pass


class _Node(NamedTuple):
    """`kind`: float, int, bool, str, or number and whole for a literal that takes the type of what it meets; `value` of a literal."""

    step: Step
    kind: str
    value: Any = None


class Direct:
    """Named expressions for frames of one schema. Make it with `direct`."""

    def __init__(self, schema: Mapping[str, pl.DataType], steps: list[tuple[str, Step, str]], order: list[str]) -> None:
        self._steps = [step for _, step, _ in steps]
        self._kinds = {name: _KINDS[dtype] for name, dtype in schema.items() if dtype in _KINDS} | {name: kind for name, _, kind in steps}
        self._places = {name: place for place, name in enumerate((*schema, *(name for name, _, _ in steps)))}
        self._added = self.columns(order) if steps else None

    def columns(self, names: Sequence[str]) -> Columns | None:
        """How to make a frame of these of the schema's and the expressions' columns; None where one is of a type that is not made here."""
        if not all(name in self._kinds for name in names):
            return None
        # columns of one type stand side by side, so that one series is made for all of them
        groups = [
            (kind, [name for name in names if self._kinds[name] == kind]) for kind in dict.fromkeys(self._kinds[name] for name in names)
        ]
        made = [name for _, group in groups for name in group]
        order = None if made == list(names) else [made.index(name) for name in names]
        return Columns([(_DTYPES[kind], group, [self._places[name] for name in group]) for kind, group in groups], order)

    def add(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """The frame with the expressions' columns; None where it holds a value that only Polars gives."""
        rows = self.rows(frame.rows())
        return None if rows is None or self._added is None else frame.hstack(self._added.of(rows))

    def rows(self, given: Sequence[Row]) -> list[list[Any]] | None:
        """Rows of the schema with the expressions' values after theirs; None where one of them is a value that only Polars gives."""
        rows = [list(row) for row in given]
        try:
            for row in rows:
                for step in self._steps:
                    row.append(step(row))
        except Beyond:
            return None
        return rows


class Columns(NamedTuple):
    """Columns out of rows: of each type their names and places, and the order in which they are wanted (None: as they come)."""

    groups: list[tuple[Any, list[str], list[int]]]
    order: list[int] | None

    def of(self, rows: Sequence[Row]) -> list[pl.Series]:
        """The columns of these rows."""
        n, made = len(rows), []
        for dtype, names, places in self.groups:
            values = [row[place] for place in places for row in rows]
            # to say the type costs as much again, and Python's own says it where a value stands
            whole, start = pl.Series("", values, dtype) if None in values else pl.Series("", values), 0
            for name in names:
                made.append(whole.slice(start, n).alias(name))
                start += n
        return made if self.order is None else [made[place] for place in self.order]


def direct(schema: Mapping[str, pl.DataType], expressions: Mapping[str, pl.Expr], layers: Sequence[Mapping[str, pl.Expr]]) -> Direct | None:
    """The expressions (none are too) for frames of this schema, each after those it reads; None where one of them is left to Polars.

    `layers` are the same expressions as `with_columns` takes them, one after the other: what is made here is compared with that.
    """
    known = {name: (place, _KINDS[dtype]) for place, (name, dtype) in enumerate(schema.items()) if dtype in _KINDS}
    steps: list[tuple[str, Step, str]] = []
    try:
        for name, expression in expressions.items():
            node = _node(json.loads(expression.meta.serialize(format="json")), known)
            if node.kind not in _DTYPES or node.value is not None:
                return None
            known[name] = (len(schema) + len(steps), node.kind)
            steps.append((name, node.step, node.kind))
    except (_NotTaken, KeyError, TypeError, ValueError):
        return None
    made = Direct(schema, steps, [name for layer in layers for name in layer])
    return made if not steps or _holds(made, schema, expressions, layers) else None


def _holds(
    made: Direct, schema: Mapping[str, pl.DataType], expressions: Mapping[str, pl.Expr], layers: Sequence[Mapping[str, pl.Expr]]
) -> bool:
    """Whether it gives what Polars gives, to the last bit, on rows that look for a difference."""
    probes = _probes(schema, [root for value in expressions.values() for root in value.meta.root_names()])
    try:
        wanted = probes
        for layer in layers:
            wanted = wanted.with_columns(**layer)
    except PolarsError:
        return False
    for start in range(0, probes.height, MOST_ROWS):
        found = made.add(probes[start : start + MOST_ROWS])
        if found is not None and not same(found, wanted[start : start + MOST_ROWS]):
            return False
    return True


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Equal to the last bit: names, types, nulls, signs of zero; a NaN is a NaN."""
    return one.schema == other.schema and all(
        len(left) == len(right) and all(_bits(a) == _bits(b) for a, b in zip(left, right, strict=True))
        for left, right in zip(one.iter_columns(), other.iter_columns(), strict=True)
    )


def _bits(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "NaN" if math.isnan(value) else struct.pack("<d", value)


def _probes(schema: Mapping[str, pl.DataType], roots: Sequence[str]) -> pl.DataFrame:
    """Rows of awkward values: every pair of them for two columns, and numbers of every size."""
    chance = np.random.default_rng(0)
    wide = np.concatenate(
        [chance.normal(0, 1, 60), chance.normal(0, 1, 60) * 10.0 ** chance.integers(-300, 300, 60), np.arange(-12.0, 25.0)]
    )
    awkward: dict[str, list[Any]] = {
        "float": [None, 0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1.7e308, 0.1, 2.0**53, 1e16],
        "int": [None, 0, 1, -1, 2, 7, 24, 2**31, -(2**31), 2**53 + 1, 2**62, _INT - 1, -_INT],
        "bool": [None, True, False],
        "str": [None, "", "a", "b", "ä", "car", "z"],
    }
    pairs = list(product(range(13), repeat=2))
    columns = []
    for number, (name, dtype) in enumerate(schema.items()):
        kind = _KINDS.get(dtype)
        values = awkward.get(kind or "", [None])
        place = list(dict.fromkeys(roots)).index(name) if name in roots else number
        first = [values[pair[place % 2] % len(values)] for pair in pairs]
        more: list[Any] = [values[each % len(values)] for each in chance.integers(0, 1_000, _PROBES - len(first))]
        if kind == "float":
            more = chance.permutation(np.resize(wide, len(more))).tolist()
        elif kind == "int":
            more = chance.integers(-1_000, 1_000, len(more)).tolist()
        columns.append(pl.Series(name, [*first, *more], dtype))
    return pl.DataFrame(columns)


def _node(node: Any, known: Mapping[str, tuple[int, str]]) -> _Node:
    if not isinstance(node, dict):
        # the number of rows is written as a word
        raise _NotTaken
    [(name, body)] = node.items()
    if name == "Column":
        place, kind = known[body]
        return _Node(lambda row: row[place], kind)
    if name == "Literal":
        return _literal(body)
    if name == "BinaryExpr":
        return _binary(body["op"], _node(body["left"], known), _node(body["right"], known))
    if name == "Cast":
        return _cast(_node(body["expr"], known), body["dtype"]["Literal"])
    if name == "Ternary":
        return _ternary(*(_node(body[part], known) for part in ("predicate", "truthy", "falsy")))
    if name == "Function":
        return _function(body["function"], body["input"], known)
    raise _NotTaken


def _literal(body: Any) -> _Node:
    [(form, content)] = body.items()
    [(kind, value)] = content.items()
    if form == "Dyn" and kind == "Float":
        return _Node(lambda _: value, "number", float(value))
    if form == "Dyn" and kind == "Int" and -_INT <= value < _INT:
        return _Node(lambda _: value, "whole", int(value))
    if form == "Scalar" and kind in ("String", "Boolean") and isinstance(value, str | bool):
        return _Node(lambda _: value, "str" if kind == "String" else "bool", value)
    raise _NotTaken


def _numbers(left: _Node, right: _Node) -> tuple[Step, Step, str]:
    """Two numbers as the type that Polars brings them to. Two literals are its own business."""
    kinds = {left.kind, right.kind}
    if not kinds & {"float", "int"} or not kinds <= {"float", "int", "number", "whole"}:
        raise _NotTaken
    kind = "float" if kinds & {"float", "number"} else "int"
    return _as(left, kind), _as(right, kind), kind


def _as(node: _Node, kind: str) -> Step:
    step = node.step
    if kind == "float" and node.kind in ("int", "whole"):
        if node.value is not None:
            value = float(node.value)
            return lambda _: value
        return lambda row: None if (found := step(row)) is None else float(found)
    return step


def _binary(op: str, left: _Node, right: _Node) -> _Node:
    if op in ("And", "Or"):
        if (left.kind, right.kind) != ("bool", "bool"):
            raise _NotTaken
        return _Node(_logic(left.step, right.step, decides=op == "Or"), "bool")
    if op in _COMPARE:
        return _Node(_nulls(_COMPARE[op], *_comparable(left, right)), "bool")
    if op == "TrueDivide":
        a, b, _ = _numbers(left, right)
        return _Node(
            _nulls(_divide, _as(_Node(a, left.kind, left.value), "float"), _as(_Node(b, right.kind, right.value), "float")), "float"
        )
    a, b, kind = _numbers(left, right)
    return _Node(_nulls(_ARITHMETIC[op, kind], a, b), kind)


def _comparable(left: _Node, right: _Node) -> tuple[Step, Step]:
    if left.kind == right.kind and left.kind in ("str", "bool") and (left.value is None or right.value is None):
        return left.step, right.step
    return _numbers(left, right)[:2]


def _nulls(function: Callable[[Any, Any], Any], left: Step, right: Step) -> Step:
    def step(row: Row) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else function(a, b)

    return step


def _logic(left: Step, right: Step, *, decides: bool) -> Step:
    """Kleene's and, or: one value decides whatever the other is."""

    def step(row: Row) -> Any:
        a, b = left(row), right(row)
        if a is decides or b is decides:
            return decides
        return None if a is None or b is None else not decides

    return step


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _whole(value: int) -> int:
    if -_INT <= value < _INT:
        return value
    raise Beyond


_ARITHMETIC: dict[tuple[str, str], Callable[[Any, Any], Any]] = {
    ("Plus", "float"): lambda a, b: a + b,
    ("Minus", "float"): lambda a, b: a - b,
    ("Multiply", "float"): lambda a, b: a * b,
    ("Plus", "int"): lambda a, b: _whole(a + b),
    ("Minus", "int"): lambda a, b: _whole(a - b),
    ("Multiply", "int"): lambda a, b: _whole(a * b),
}


def _less(a: Any, b: Any) -> bool:
    """NaN is equal to itself and above all else."""
    return bool(a < b or (_nan(b) and not _nan(a)))


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b or (_nan(a) and _nan(b)))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": _equal,
    "NotEq": lambda a, b: not _equal(a, b),
    "Lt": _less,
    "GtEq": lambda a, b: not _less(a, b),
    "Gt": lambda a, b: _less(b, a),
    "LtEq": lambda a, b: not _less(b, a),
}


def _cast(node: _Node, dtype: Any) -> _Node:
    kind = {"Float64": "float", "Int64": "int"}.get(dtype if isinstance(dtype, str) else "", "")
    if node.value is not None or (node.kind, kind) not in {
        ("bool", "float"),
        ("bool", "int"),
        ("int", "float"),
        ("int", "int"),
        ("float", "float"),
    }:
        raise _NotTaken
    make, step = (float if kind == "float" else int), node.step
    return _Node(lambda row: None if (found := step(row)) is None else make(found), kind)


def _ternary(asked: _Node, yes: _Node, no: _Node) -> _Node:
    if asked.kind != "bool" or asked.value is not None:
        raise _NotTaken
    if yes.kind == no.kind and yes.kind in ("str", "bool") and (yes.value is None or no.value is None):
        a, b, kind = yes.step, no.step, yes.kind
    else:
        a, b, kind = _numbers(yes, no)
    ask = asked.step
    return _Node(lambda row: a(row) if ask(row) else b(row), kind)


def _function(function: Any, given: Any, known: Mapping[str, tuple[int, str]]) -> _Node:
    if isinstance(function, dict):
        [(family, name)] = function.items()
        if isinstance(name, dict):
            if family == "Boolean" and name == {"IsIn": {"nulls_equal": False}}:
                return _is_in(_node(given[0], known), given[1])
            raise _NotTaken
        name = f"{family}.{name}"
    else:
        name = function
    nodes = [_node(each, known) for each in given]
    if name in ("Boolean.IsNull", "Boolean.IsNotNull"):
        step, wanted = nodes[0].step, name == "Boolean.IsNull"
        return _Node(lambda row: (step(row) is None) is wanted, "bool")
    if name == "Boolean.Not" and nodes[0].kind == "bool":
        step = nodes[0].step
        return _Node(lambda row: None if (found := step(row)) is None else not found, "bool")
    if name == "FillNull":
        return _fill_null(*nodes)
    if name == "Log" and nodes[1].kind == "number":
        base = math.log(nodes[1].value)
        return _Node(_one(lambda x: _log(x) / base, _as(_column_of_numbers(nodes[0]), "float")), "float")
    if name in _ONE and len(nodes) == 1:
        return _Node(_one(_ONE[name], _as(_column_of_numbers(nodes[0]), "float")), "float")
    raise _NotTaken


def _column_of_numbers(node: _Node) -> _Node:
    """The node itself, where it is one."""
    if node.kind not in ("float", "int") or node.value is not None:
        raise _NotTaken
    return node


def _fill_null(node: _Node, other: _Node) -> _Node:
    if node.value is not None or other.value is None:
        raise _NotTaken
    if (node.kind, other.kind) in {("float", "number"), ("float", "whole"), ("int", "whole")}:
        fill = float(other.value) if node.kind == "float" else other.value
    elif node.kind == other.kind and node.kind in ("str", "bool"):
        fill = other.value
    else:
        raise _NotTaken
    step = node.step
    return _Node(lambda row: fill if (found := step(row)) is None else found, node.kind)


def _is_in(node: _Node, listed: Any) -> _Node:
    series = pl.select(pl.Expr.deserialize(io.StringIO(json.dumps(listed)), format="json")).to_series()
    options = series.item() if series.dtype == pl.List and len(series) == 1 else None
    if (
        not isinstance(options, pl.Series)
        or _KINDS.get(options.dtype) != node.kind
        or node.kind not in ("str", "int")
        or options.null_count()
    ):
        raise _NotTaken
    found, step = frozenset(options.to_list()), node.step
    return _Node(lambda row: None if (value := step(row)) is None else value in found, "bool")


def _one(function: Callable[[float], float], step: Step) -> Step:
    return lambda row: None if (found := step(row)) is None else function(found)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


_ONE: dict[str, Callable[[float], float]] = {
    "Trigonometry.Sin": lambda x: math.sin(x) if math.isfinite(x) else math.nan,
    "Trigonometry.Cos": lambda x: math.cos(x) if math.isfinite(x) else math.nan,
    "Exp": _exp,
    "Log1p": lambda x: math.log1p(x) if x > -1 else -math.inf if x == -1 else math.nan,
    "Pow.Sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
}
"""Functions of one number, by the name that Polars writes."""
