"""Inference requests of the Open Inference Protocol → columns, or every reason why not.

One tensor a request field, shape [n] or [n, 1]; or one [n, k] tensor in schema order when every field is a number. `data` is flat in
row-major order, or nested exactly as `shape` says; or it is bytes that follow the JSON (`tensors_binary`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

from flyball.errors import Problem
from flyball.records.models import Field, Signature
from flyball.serving import explain, tensors_binary
from flyball.serving.explain import Member, shown
from flyball.serving.ids import PREFIX
from flyball.serving.problems import Unparsable
from flyball.serving.tensors_binary import Parts
from flyball.serving.validate import refuse

DATATYPES = {"float": "FP64", "int": "INT64", "bool": "BOOL", "str": "BYTES", "time": "BYTES"}
"""The datatype that metadata name for a field's type."""

_TAKEN = {
    "float": ("FP64", "FP32", "INT64", "INT32"),
    "int": ("INT64", "INT32"),
    "bool": ("BOOL",),
    "str": ("BYTES",),
    "time": ("BYTES",),
}
_WHOLE = {"INT64": 63, "INT32": 31}

_TENSOR = {
    "name": Member((str,), "text", '"km"', required=True),
    "shape": Member((list,), "a list of integers", "[1]", required=True),
    "datatype": Member((str,), "text", '"FP64"', required=True),
    "data": Member((list,), "a list of values", "[1.5]"),
    "parameters": Member((dict,), "an object", "{}"),
}
_INFER = {
    "inputs": Member((list,), "a list of tensors", '[{"name": "km", "shape": [1], "datatype": "FP64", "data": [1.5]}]', required=True),
    "id": Member((str,), "text", '"load-1"'),
    "parameters": Member((dict,), "an object", '{"key": "ana"}'),
    "outputs": Member((list,), "a list of objects", '[{"name": "prediction"}]'),
}
_OUTPUT = {"name": Member((str,), "text", '"prediction"', required=True), "parameters": Member((dict,), "an object", "{}")}
_ELSEWHERE = {
    "shared_memory_region": ("memory is not shared with callers", "send the data in the request, and leave shared_memory_region out"),
    "classification": ("outputs are not classified", "leave classification out; probability has every class"),
}
"""What other extensions of the protocol ask for, by their parameters: answered without it, it would be taken for what it is not."""


@dataclass(frozen=True, slots=True)
class Infer:
    """A request as it came, its members of the right types. `outputs` are the names asked for; empty: all there are.

    `parts` are the bytes of the tensors that are binary, `binary` the names of outputs that are wanted so.
    """

    inputs: list[dict[str, Any]]
    id: str
    key: str | None
    outputs: tuple[str, ...]
    parts: Parts = field(default_factory=dict)
    binary: frozenset[str] = frozenset()


def parse(body: bytes, outputs: Iterable[str], json_bytes: int | None = None) -> Infer:
    """Read a body; `outputs` are the names that can be asked for.

    json_bytes: how many bytes of the body are its JSON, those of binary tensors follow; None: all are.
    Raises Unparsable for another shape, BadInput for what is not taken.
    """
    given = explain.parse(body if json_bytes is None else body[:json_bytes])
    problems = explain.first(_misshapen(given))
    if problems:
        what = f"the body is not an inference request: {problems[0].where} {problems[0].what}".replace(":  ", ": ")
        raise Unparsable(what, why=problems[0].why, fix=problems[0].fix, problems=tuple(problems[: explain.MOST_PROBLEMS]))
    inputs, wanted, parameters = given["inputs"], given.get("outputs") or [], given.get("parameters") or {}
    names = tuple(outputs)
    rest = 0 if json_bytes is None else len(body) - json_bytes
    told = json_bytes is not None or any(part.get("parameters") for part in chain((given,), inputs, wanted))
    unsound = tensors_binary.unsound(inputs, wanted, parameters, rest) if told else ()
    problems = explain.first(chain(_not_taken(given, names), unsound))
    if problems:
        raise refuse(problems)
    asked = Infer(inputs, given.get("id") or "", parameters.get("key"), tuple([one["name"] for one in wanted]))
    if not told:
        return asked
    parts = tensors_binary.split(inputs, memoryview(body)[len(body) - rest :])
    return replace(asked, parts=parts, binary=tensors_binary.wished(wanted, parameters, names))


def _misshapen(given: Any) -> Iterator[Problem]:
    """Members that are missing, or of another type. Members that the protocol may have beside these are nobody's mistake."""
    yield from _known(given, _INFER, "a request")
    if isinstance(given, dict):
        for name, members, what in (("inputs", _TENSOR, "a tensor"), ("outputs", _OUTPUT, "an output")):
            parts = given.get(name)
            explain.check_count(len(parts) if isinstance(parts, list) else 0, name)
            for index, part in enumerate(parts if isinstance(parts, list) else ()):
                yield from _known(part, members, what, name, index)
                shape = part.get("shape") if isinstance(part, dict) and name == "inputs" else None
                if isinstance(shape, list) and not all(type(size) is int and 0 <= size < 2**63 for size in shape):
                    where = explain.pointer(name, index, "shape")
                    yield Problem(where, f"shape is {shown(shape)}", "it has to be a list of integers", 'send "shape": [1]')


def _known(given: Any, members: Mapping[str, Member], what: str, *at: str | int) -> Iterator[Problem]:
    own = {name: value for name, value in given.items() if name in members} if isinstance(given, dict) else given
    return explain.check_members(own, members, what, *at)


def _not_taken(given: dict[str, Any], outputs: tuple[str, ...]) -> Iterator[Problem]:
    """What the protocol has and flyball does not: other extensions, outputs of other names, some ids and keys."""
    for name in ("inputs", "outputs"):
        for index, part in enumerate(given.get(name) or ()):
            parameters = part.get("parameters") or {}
            for wish in parameters.keys() & _ELSEWHERE if parameters else ():
                if parameters[wish] not in (None, False, 0):
                    what, fix = _ELSEWHERE[wish]
                    why = "of the extensions binary_tensor_data alone is there"
                    yield Problem(f"/{name}/{index}/parameters/{wish}", what, why, fix)
    for index, tensor in enumerate(given["inputs"]):
        if tensor.get("data") is None and tensors_binary.size_of(tensor) is None:
            yield Problem(f"/inputs/{index}/data", "a tensor has no data", "it is JSON, or the bytes that follow", 'send "data": [1.5]')
    for index, output in enumerate(given.get("outputs") or ()):
        if output["name"] not in outputs:
            near = explain.near_name(output["name"], outputs)
            fix = f'did you mean "{near}"?' if near else "leave outputs out to get all"
            yield Problem(f"/outputs/{index}/name", f"there is no output {shown(output['name'])}", f"outputs: {', '.join(outputs)}", fix)
    key = (given.get("parameters") or {}).get("key")
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= explain.LONGEST_ID):
        yield Problem(
            "/parameters/key", f"key is {shown(key)}", f"it has to be text of 1 to {explain.LONGEST_ID} characters", 'send "key": "ana"'
        )
    request_id = given.get("id") or ""
    if request_id.startswith(PREFIX):
        why = f'ids that start with "{PREFIX}" are flyball\'s own'
        yield Problem("/id", f"{shown(request_id)} cannot be a caller's id", why, "use another prefix")
    if len(request_id) > explain.LONGEST_ID:
        yield Problem(
            "/id", f"the id of the request has {len(request_id):,} characters", f"it has {explain.LONGEST_ID} at most", "use a shorter one"
        )


def columns(asked: Infer, signature: Signature) -> dict[str, list[Any]]:
    """One list a field. Raises BadInput with every problem of shapes and types, TooLarge."""
    fields = {field.name: field for field in signature.fields}
    if _is_matrix(asked.inputs, fields):
        return _matrix(asked.inputs[0], asked.parts.get(0), fields)
    found: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for index, tensor in enumerate(asked.inputs):
        where, name = f"/inputs/{index}", tensor["name"]
        one = fields.get(name)
        taken = None if one is None else _Taken(_TAKEN[one.type], DATATYPES[one.type], f'"{name}"')
        flat, wrong = _values(tensor, asked.parts.get(index), taken, where)
        problems += wrong
        if name in found:
            problems.append(Problem(f"{where}/name", f"{shown(name)} is given twice", "a field has one tensor", "send each field once"))
        found[name] = flat
        if len(problems) > explain.MOST_PROBLEMS:
            break
    if not problems and not any(found.values()):
        problems.append(Problem("/inputs", "the tensors are empty", "a request has at least one row", "send at least one value a field"))
    if problems:
        raise refuse(problems)
    return found


def _is_matrix(inputs: list[dict[str, Any]], fields: Mapping[str, Field]) -> bool:
    """Whether this is one tensor of all fields."""
    if len(inputs) != 1 or not all(field.type in ("int", "float", "bool") for field in fields.values()):
        return False
    shape = inputs[0]["shape"]
    return len(shape) == 2 and shape[1] == len(fields) and (len(fields) > 1 or inputs[0]["name"] not in fields)


def _matrix(tensor: dict[str, Any], part: memoryview | None, fields: Mapping[str, Field]) -> dict[str, list[Any]]:
    width = len(fields)
    explain.check_count(tensor["shape"][0])
    kinds = {field.type for field in fields.values()}
    taken = _TAKEN["bool"] if kinds == {"bool"} else _TAKEN["float"]
    flat, problems = _values(tensor, part, _Taken(taken, taken[0], "a tensor of all fields"), "/inputs/0", width)
    if not problems and not flat:
        problems.append(Problem("/inputs", "the tensor is empty", "a request has at least one row", "send at least one value a field"))
    if problems:
        raise refuse(problems)
    # of bytes the datatype says it all; in JSON a BOOL may be 1
    same = "bool" if part is not None and kinds == {"bool"} else "float"
    return {
        name: flat[index::width] if one.type == same else [_as_typed(value, one.type) for value in flat[index::width]]
        for index, (name, one) in enumerate(fields.items())
    }


def _values(
    tensor: dict[str, Any], part: memoryview | None, taken: _Taken | None, where: str, width: int = 0
) -> tuple[list[Any], list[Problem]]:
    """A tensor's values in row-major order, and what is wrong with them. Raises TooLarge.

    part: its bytes (None: its data are JSON). taken: None for a field that is not there, of which that is told later. width: as for `_misfit`.
    """
    if part is None:
        flat = _flat(tensor["data"])
        if not width:
            explain.check_count(len(flat))
        problems = [] if taken is None else explain.first(_mistyped(tensor["datatype"], flat, taken, where))
        return flat, problems + _misfit(tensor, len(flat), where, width)
    shape, datatype = tensor["shape"], tensor["datatype"]
    problems = [] if taken is None else list(_mistyped(datatype, [], taken, where))
    problems += [] if width else _misshaped(tensor, tensors_binary.likely(datatype, part), where)
    if problems:
        return [], problems
    explain.check_count(shape[0])
    return tensors_binary.unpack(datatype, math.prod(shape), part, where)


class _Taken(NamedTuple):
    """The datatypes that a tensor may have, the one to be told to send, and whose they are."""

    datatypes: tuple[str, ...]
    wanted: str
    whose: str


def _mistyped(datatype: str, flat: list[Any], own: _Taken, where: str) -> Iterator[Problem]:
    """A datatype that the field does not have, and numbers that the datatype does not. What is no number is the field's to judge."""
    taken, wanted, whose = own
    if datatype not in taken:
        why = f"{whose} is {' or '.join((', '.join(taken[:-1]), taken[-1]) if taken[1:] else taken)}"
        yield Problem(f"{where}/datatype", f"datatype {shown(datatype)} does not fit {whose}", why, f'send "datatype": "{wanted}"')
        return
    bits = _WHOLE.get(datatype)
    if bits is None:
        return
    for place, value in enumerate(flat):
        if not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
            fix = 'send "datatype": "FP64" for numbers that are not whole' if "FP64" in taken else "send whole numbers"
            yield Problem(f"{where}/data/{place}", f"{shown(value)} is not {datatype}", f"{datatype} are whole numbers", fix)
        elif not -(2**bits) <= value < 2**bits:
            yield Problem(
                f"{where}/data/{place}", f"{shown(value)} is too large for {datatype}", f"it has {bits + 1} bits", "send a smaller one"
            )


def _misshaped(tensor: dict[str, Any], count: int, where: str) -> list[Problem]:
    """Whether a shape is not that of one field, which may have an axis of its own."""
    shape = tensor["shape"]
    if len(shape) in (1, 2) and shape[1:] in ([], [1]):
        return []
    whose = f"a field such as {shown(tensor['name'])}"
    what = f"shape {shown(shape)} is not that of one field"
    return [Problem(f"{where}/shape", what, f"{whose} has shape [n] or [n, 1], for n rows", f'send "shape": [{count}]')]


def _misfit(tensor: dict[str, Any], count: int, where: str, width: int = 0) -> list[Problem]:
    """What is wrong with a tensor's shape: `width` values a row, 0 for one value without an axis of its own."""
    shape, nested = tensor["shape"], _nesting(tensor["data"])
    if not width and (wrong := _misshaped(tensor, count, where)):
        return wrong
    total = math.prod(shape)
    if total != count:
        right = [count] if not width else [max(count // width, 1), width]
        fix = f'send {total:,} values, or "shape": {shown(right)}'
        return [
            Problem(
                f"{where}/shape", f"shape {shown(shape)} does not fit the {count:,} values in data", f"it is that of {total:,} values", fix
            )
        ]
    if nested is None:
        return [
            Problem(f"{where}/data", "the lists in data differ in length", f"shape is {shown(shape)}", "send the values flat, row by row")
        ]
    if len(nested) > 1 and nested != shape:
        what = f"data is nested as {shown(nested)}, and shape is {shown(shape)}"
        return [Problem(f"{where}/shape", what, "nested data has the shape it says", f'send it flat, or with "shape": {shown(nested)}')]
    return []


def _flat(data: list[Any]) -> list[Any]:
    """Tensor data in row-major order: shapes have two dimensions at most, and so has what is nested."""
    if any(isinstance(part, list) for part in data):
        return list(chain.from_iterable(part if isinstance(part, list) else [part] for part in data))
    return data


def _nesting(data: list[Any]) -> list[int] | None:
    """The dimensions in which data is nested; None where they differ from part to part."""
    lengths = {len(part) if isinstance(part, list) else None for part in data}
    if lengths <= {None}:
        return [len(data)]
    width = lengths.pop()
    return None if lengths or width is None else [len(data), width]


def _as_typed(value: Any, kind: str) -> Any:
    """A number out of a tensor that has one type for all fields, as its own field has it."""
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return value
