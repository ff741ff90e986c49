"""Open Inference Protocol v2, REST with JSON tensors.

One tensor a request field, shape [n] or [n, 1]; or one [n, k] tensor in schema order when every field is a number. Text and times
are BYTES. Outputs: `prediction` [n], and `probability` [n, c] for tasks with classes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from flyball.errors import BadInput, FlyballError, Problem, Unavailable
from flyball.records.models import Signature
from flyball.serving import explain
from flyball.serving.dispatch import Answer, Dispatcher
from flyball.serving.problems import Unparsable
from flyball.serving.table import Served
from flyball.serving.validate import Request, refuse

_encode = msgspec.json.Encoder().encode
_DATATYPES = {"float": "FP64", "int": "INT64", "bool": "BOOL", "str": "BYTES", "time": "BYTES"}
_TAKEN = {"float": {"FP64", "FP32", "INT64", "INT32"}, "int": {"INT64", "INT32"}, "bool": {"BOOL"}, "str": {"BYTES"}, "time": {"BYTES"}}


class Tensor(msgspec.Struct):
    """An input tensor; `data` may be nested as the shape is, or flat."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class Infer(msgspec.Struct):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] | None = None


def error_body(error: FlyballError) -> bytes:
    """The protocol's error: one text with everything in it."""
    problems = "; ".join(f"{one.where} {one.what}".strip() for one in error.problems)
    text = ": ".join(part for part in (error.what, error.why) if part)
    return _encode({"error": f"{text} ({problems})" if len(error.problems) > 1 else text})


class Oip:
    """The protocol over a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def all_ready(self) -> bool:
        """Whether every served model can answer."""
        return all(self._dispatcher.ready(served) for served in self._dispatcher.table.models.values())

    def ready(self, name: str, version: str) -> bytes:
        """The model's readiness. Raises Unavailable when it is not, NotFound."""
        served = self._dispatcher.table.find(name)
        if version:
            served.pinned(version)
        if not self._dispatcher.ready(served):
            raise Unavailable(f"{name} has no worker that answers", fix="try again shortly")
        return _encode({"name": name, "ready": True})

    def metadata(self, name: str, version: str) -> bytes:
        """Names, types and shapes of the tensors."""
        served = self._dispatcher.table.find(name)
        if version:
            served.pinned(version)
        signature = served.signature
        outputs: list[dict[str, Any]] = [{"name": "prediction", "datatype": _value_type(signature), "shape": [-1]}]
        if signature.classes:
            outputs.append({"name": "probability", "datatype": "FP64", "shape": [-1, len(signature.classes)]})
        versions = [target.arm.version for target in served.targets.values()]
        inputs = [{"name": field.name, "datatype": _DATATYPES[field.type], "shape": [-1]} for field in signature.fields]
        return _encode({"name": name, "versions": versions, "platform": "flyball", "inputs": inputs, "outputs": outputs})

    async def infer(self, name: str, version: str, body: bytes) -> tuple[bytes, bool]:
        """The answer's JSON, and whether it is in the log."""
        served = self._dispatcher.table.find(name)
        try:
            asked = _parse(body)
            request = Request(served.reader.read_columns(_columns(asked, served.signature), "inputs"))
            key, request_id = _parameters(asked)
        except BadInput as error:
            self._dispatcher.refuse(name, error)
            raise
        answer = await self._dispatcher.predict(served, request, version=version, request_id=request_id, key=key)
        return _encode(_answer(served, answer)), answer.logged


def _parse(body: bytes) -> Infer:
    try:
        return msgspec.convert(explain.parse(body), Infer)
    except msgspec.ValidationError as problem:
        raise Unparsable(
            "the body is not an inference request", why=str(problem), fix='send {"inputs": [{"name", "shape", "datatype", "data"}]}'
        ) from None


def _parameters(asked: Infer) -> tuple[str | None, str]:
    key = (asked.parameters or {}).get("key")
    if key is not None and not isinstance(key, str):
        raise refuse([Problem("/parameters/key", "the key is not text")])
    request_id = asked.id or ""
    if request_id.startswith("p_") or len(request_id) > 200:
        raise refuse([Problem("/id", "this cannot be a caller's id", 'ids that start with "p_" are flyball\'s own', "use another prefix")])
    return key, request_id


def _flat(data: list[Any]) -> list[Any]:
    """Tensor data in row-major order: shapes have two dimensions at most, and so has what is nested."""
    if data and isinstance(data[0], list):
        return [value for part in data for value in (part if isinstance(part, list) else [part])]
    return data


def _columns(asked: Infer, signature: Signature) -> dict[str, list[Any]]:
    """One list a field. Raises BadInput with every problem of shapes and types."""
    fields = {field.name: field for field in signature.fields}
    first = asked.inputs[0] if len(asked.inputs) == 1 else None
    numbers = all(field.type in ("int", "float", "bool") for field in signature.fields)
    if (
        first is not None
        and len(first.shape) == 2
        and first.shape[1] == len(fields)
        and numbers
        and (len(fields) > 1 or first.name not in fields)
    ):
        flat, width = _flat(first.data), len(fields)
        if len(flat) != first.shape[0] * width or not flat:
            raise refuse([Problem("/inputs/0/shape", f"shape {first.shape} does not fit {len(flat)} values")])
        return {name: [_as_typed(value, fields[name].type) for value in flat[index::width]] for index, name in enumerate(fields)}
    columns: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for index, tensor in enumerate(asked.inputs):
        where = f"/inputs/{index}"
        flat = _flat(tensor.data)
        field = fields.get(tensor.name)
        if field is not None and tensor.datatype not in _TAKEN[field.type]:
            problems.append(Problem(f"{where}/datatype", f'"{tensor.name}" is {tensor.datatype}', fix=f"send {_DATATYPES[field.type]}"))
        if len(tensor.shape) not in (1, 2) or (len(tensor.shape) == 2 and tensor.shape[1] != 1) or tensor.shape[0] != len(flat):
            problems.append(
                Problem(f"{where}/shape", f"shape {tensor.shape} does not fit {len(flat)} values of one field", fix="send [n] or [n, 1]")
            )
        if tensor.name in columns:
            problems.append(Problem(f"{where}/name", f'"{tensor.name}" is given twice'))
        columns[tensor.name] = flat
    if not problems and not any(columns.values()):
        problems.append(Problem("/inputs", "the tensors are empty", "a request has at least one row"))
    if problems:
        raise refuse(problems)
    return columns


def _as_typed(value: Any, kind: str) -> Any:
    """A number out of a tensor that has one type for all fields, as its own field has it."""
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return value


def _value_type(signature: Signature) -> str:
    kinds = {type(one) for one in signature.classes}
    if not kinds:
        return "FP64"
    return {bool: "BOOL", int: "INT64", str: "BYTES"}[kinds.pop()] if len(kinds) == 1 else "BYTES"


def _answer(served: Served, answer: Answer) -> dict[str, Any]:
    signature = served.signature
    count = len(answer.output)
    outputs: list[dict[str, Any]] = [
        {"name": "prediction", "datatype": _value_type(signature), "shape": [count], "data": [value for value, _ in answer.output]}
    ]
    if signature.classes and all(score is not None for _, score in answer.output):
        rows = [score if isinstance(score, list) else [1.0 - score, score] for _, score in answer.output]
        outputs.append(
            {"name": "probability", "datatype": "FP64", "shape": [count, len(rows[0])], "data": [share for row in rows for share in row]}
        )
    document: dict[str, Any] = {"model_name": served.name, "model_version": answer.versions[0], "id": answer.request_id, "outputs": outputs}
    if answer.fallback:
        document["parameters"] = {"fallback": answer.fallback}
    return document
