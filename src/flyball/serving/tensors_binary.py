"""Binary tensor data of the Open Inference Protocol: the bytes that follow a request's or an answer's JSON ↔ values.

What `shape` and `datatype` say is held against the bytes that are there before any value is made of them. All numbers are little-endian, in row-major
order; an element of BYTES is its length, as four bytes, and as many bytes. What there is of the protocol's extension beside this (memory that is
shared, classification) is refused in `tensors`.
Source: Triton Inference Server, "Binary Tensor Data Extension".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from flyball.errors import Problem
from flyball.serving.explain import shown

Parts: TypeAlias = Mapping[int, memoryview]
"""The bytes of a request's tensors, by the tensors' numbers."""

_FORMS = {"FP64": ("d", 8), "FP32": ("f", 4), "INT64": ("q", 8), "INT32": ("i", 4), "BOOL": ("B", 1)}
_TAKEN = f"{', '.join(_FORMS)} and BYTES"
_HELD: dict[str, tuple[type, ...]] = {"FP64": (float, int), "INT64": (int,), "BOOL": (bool,), "BYTES": (str,)}
_LENGTH = struct.Struct("<I")


def size_of(tensor: Mapping[str, Any]) -> Any:
    """What a tensor says of its bytes; None for one whose data are JSON."""
    return (tensor.get("parameters") or {}).get("binary_data_size")


def unsound(
    inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], rest: int
) -> Iterator[Problem]:
    """What is wrong with what a request says of bytes, of which `rest` follow its JSON."""
    sizes = [size_of(tensor) for tensor in inputs]
    for index, (tensor, size) in enumerate(zip(inputs, sizes, strict=True)):
        where = f"/inputs/{index}/parameters/binary_data_size"
        if size is None:
            continue
        if type(size) is not int or not 0 <= size < 2**63:
            yield Problem(
                where, f"binary_data_size is {shown(size)}", "it has to be a number of bytes", "send the length of the tensor's bytes"
            )
        elif tensor.get("data") is not None:
            yield Problem(where, "a tensor has data twice", "it is JSON, or the bytes that follow", "leave data or binary_data_size out")
    places = [("/parameters/binary_data_output", parameters.get("binary_data_output"))]
    places += [
        (f"/outputs/{index}/parameters/binary_data", (output.get("parameters") or {}).get("binary_data"))
        for index, output in enumerate(outputs)
    ]
    for where, wish in places:
        if wish is not None and type(wish) is not bool:
            yield Problem(where, f"{where.rpartition('/')[2]} is {shown(wish)}", "it has to be true or false", "send true for bytes")
    total = sum(size for size in sizes if type(size) is int)
    if total != rest:
        fix = (
            "send all bytes of each tensor, in order, and no others" if rest else "Inference-Header-Content-Length says where the JSON ends"
        )
        yield Problem("/inputs", f"the tensors say {total:,} bytes", f"{rest:,} follow the JSON", fix)


def split(inputs: Sequence[Mapping[str, Any]], rest: memoryview) -> Parts:
    """The bytes of each tensor that has some. Nothing of `inputs` is unsound."""
    found: dict[int, memoryview] = {}
    start = 0
    for index, tensor in enumerate(inputs):
        size = size_of(tensor)
        if size is not None:
            found[index] = rest[start : start + size]
            start += size
    return found


def wished(outputs: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], names: Sequence[str]) -> frozenset[str]:
    """Those of the outputs there are (`names`) that are wanted as bytes: what an output says of itself counts, else what is said of all."""
    every = parameters.get("binary_data_output") is True
    own = {output["name"]: (output.get("parameters") or {}).get("binary_data") for output in outputs}
    return frozenset(name for name in names if (every if own.get(name) is None else own[name]))


def likely(datatype: str, part: memoryview) -> int:
    """How many values these bytes may be."""
    return len(part) // (_FORMS[datatype][1] if datatype in _FORMS else _LENGTH.size)


def unpack(datatype: str, count: int, part: memoryview, where: str) -> tuple[list[Any], list[Problem]]:
    """As many values as the shape says, and what is wrong with them, if anything is: then there are none. NaN is a missing value, None.

    `count` may be any number: nothing is made of it that the bytes do not hold.
    """
    if datatype == "BYTES":
        return _texts(count, part, where)
    if datatype not in _FORMS:
        return [], [Problem(f"{where}/datatype", f"datatype {shown(datatype)} is not taken", f"{_TAKEN} are", "send one of these")]
    letter, size = _FORMS[datatype]
    if count * size != len(part):
        return [], [_too_long_or_short(f"{count:,} values of {datatype} have {count * size:,} bytes", part, where)]
    found = list(struct.unpack(f"<{count}{letter}", part))
    if datatype == "BOOL":
        wrong = next((place for place, value in enumerate(found) if value > 1), None)
        if wrong is not None:
            return [], [
                Problem(f"{where}/data/{wrong}", f"the byte {found[wrong]:#04x} is not BOOL", "BOOL is a byte, 0 or 1", "send 0 or 1")
            ]
        return [value == 1 for value in found], []
    if datatype in ("FP64", "FP32"):
        return [None if value != value else value for value in found], []  # noqa: PLR0124 - so is NaN told from numbers
    return found, []


def _texts(count: int, part: memoryview, where: str) -> tuple[list[Any], list[Problem]]:
    if count * _LENGTH.size > len(part):
        return [], [_too_long_or_short(f"{count:,} values of BYTES have at least {count * _LENGTH.size:,} bytes", part, where)]
    found: list[Any] = []
    place = 0
    for index in range(count):
        start = place + _LENGTH.size
        # of a length that is cut off, too
        place = start + (_LENGTH.unpack_from(part, place)[0] if start <= len(part) else 0)
        if place > len(part):
            return [], [_too_long_or_short(f"value {index} of {count:,} ends at byte {place:,}", part, where)]
        try:
            found.append(str(part[start:place], "utf-8"))
        except UnicodeDecodeError as problem:
            why = f"byte {problem.start} of the value is {part[start + problem.start]:#04x}"
            return [], [Problem(f"{where}/data/{index}", "the text is not UTF-8", why, "send texts encoded as UTF-8")]
    if place != len(part):
        return [], [_too_long_or_short(f"{count:,} values of BYTES end at byte {place:,}", part, where)]
    return found, []


def _too_long_or_short(told: str, part: memoryview, where: str) -> Problem:
    what = f"the tensor has {len(part):,} bytes"
    return Problem(f"{where}/parameters/binary_data_size", what, told, "shape, datatype and bytes have to be those of one tensor")


def attach(outputs: Sequence[dict[str, Any]], wanted: frozenset[str]) -> bytes:
    """Take the data of the outputs that are wanted as bytes out of them, and give these, one output after the other.

    An output with values that its datatype does not hold (a declared fallback of another type) stays JSON, which holds any.
    """
    found: list[bytes] = []
    for output in outputs:
        part = _packed(output["datatype"], output["data"]) if output["name"] in wanted else None
        if part is not None:
            del output["data"]
            output["parameters"] = {"binary_data_size": len(part)}
            found.append(part)
    return b"".join(found)


def _packed(datatype: str, values: Sequence[Any]) -> bytes | None:
    """The values as bytes; None where the datatype does not hold one of them."""
    if not all(type(value) in _HELD[datatype] for value in values):
        return None
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(piece for text in texts for piece in (_LENGTH.pack(len(text)), text))
    try:
        return struct.pack(f"<{len(values)}{_FORMS[datatype][0]}", *values)
    except struct.error:
        return None
