"""Open Inference Protocol v2, REST, with the extension for binary tensors.

What a request is stands in `tensors`. Outputs: `prediction` [n], and `probability` [n, c] for tasks with classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from flyball.errors import BadInput, FlyballError
from flyball.records.models import Signature
from flyball.serving import tensors, tensors_binary
from flyball.serving.dispatch import Answer, Dispatcher
from flyball.serving.lists import fits_no_tensors
from flyball.serving.table import Served

_encode = msgspec.json.Encoder().encode


class Inferred(NamedTuple):
    """An answer: its body, of which the first `json_bytes` are JSON (None: all are), and whether it is in the log."""

    body: bytes
    json_bytes: int | None
    logged: bool


def server(version: str) -> bytes:
    """The server's metadata: its name, its version, and what it can of the protocol's extensions."""
    return _encode({"name": "flyball", "version": version, "extensions": ["binary_tensor_data"]})


def error_body(error: FlyballError) -> bytes:
    """The protocol's error: one text with everything in it."""
    text = ": ".join(part for part in (error.what, error.why) if part)
    if len(error.problems) > 1:
        told = (", ".join(part for part in (f"{one.where} {one.what}".strip(), one.why, one.fix) if part) for one in error.problems)
        return _encode({"error": f"{text} ({'; '.join(told)})"})
    return _encode({"error": f"{text}; {error.fix}" if error.fix else text})


class Oip:
    """The protocol over a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def all_ready(self) -> bytes:
        """That every model that is to be served can answer. Raises Unavailable, naming the first that cannot."""
        self._dispatcher.require_all()
        return _encode({"ready": True})

    def ready(self, name: str, version: str) -> bytes:
        """The model's readiness. Raises Unavailable when it is not, NotFound."""
        served = self._dispatcher.find(name)
        if version:
            served.pinned(version)
        self._dispatcher.require(served)
        return _encode({"name": name, "ready": True})

    def metadata(self, name: str, version: str) -> bytes:
        """Names, types and shapes of the tensors."""
        served = self._dispatcher.find(name)
        if version:
            served.pinned(version)
        signature = served.signature
        if signature.task == "ranking":
            raise fits_no_tensors(name)
        shapes = {"prediction": (_value_type(signature), [-1]), "probability": ("FP64", [-1, len(signature.classes)])}
        outputs = [{"name": output, "datatype": shapes[output][0], "shape": shapes[output][1]} for output in _outputs(signature)]
        versions = [target.arm.version for target in served.targets.values()]
        inputs = [{"name": field.name, "datatype": tensors.DATATYPES[field.type], "shape": [-1]} for field in signature.fields]
        return _encode({"name": name, "versions": versions, "platform": "flyball", "inputs": inputs, "outputs": outputs})

    async def infer(self, name: str, version: str, body: bytes, json_bytes: int | None = None) -> Inferred:
        """The answer. json_bytes: how many bytes of the body are its JSON; None: all are.

        Raises what `tensors` and `Dispatcher.predict` raise.
        """
        served = self._dispatcher.find(name)
        try:
            if served.signature.task == "ranking":
                raise fits_no_tensors(name)
            asked = tensors.parse(body, _outputs(served.signature), json_bytes)
            request = served.reader.read_columns(tensors.columns(asked, served.signature), "inputs")
        except BadInput as error:
            self._dispatcher.refuse(name, error, served.names)
            raise
        answer = await self._dispatcher.predict(served, request, version=version, request_id=asked.id, key=asked.key)
        document = _answer(served, answer, asked.outputs)
        if not asked.binary:
            return Inferred(_encode(document), None, answer.logged)
        parts = tensors_binary.attach(document["outputs"], asked.binary)
        told = _encode(document)
        has_bytes = any("data" not in output for output in document["outputs"])
        return Inferred(told + parts, len(told) if has_bytes else None, answer.logged)


def _outputs(signature: Signature) -> tuple[str, ...]:
    """Names of what is answered."""
    return ("prediction", "probability") if signature.classes else ("prediction",)


def _value_type(signature: Signature) -> str:
    kinds = {type(one) for one in signature.classes}
    if not kinds:
        return "FP64"
    return {bool: "BOOL", int: "INT64", str: "BYTES"}[kinds.pop()] if len(kinds) == 1 else "BYTES"


def _answer(served: Served, answer: Answer, wanted: tuple[str, ...]) -> dict[str, Any]:
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
    if wanted:
        outputs = [output for output in outputs if output["name"] in wanted]
    document: dict[str, Any] = {"model_name": served.name, "model_version": answer.versions[0], "id": answer.request_id, "outputs": outputs}
    parameters: dict[str, Any] = {"fallback": answer.fallback} if answer.fallback else {}
    if answer.marks is not None:
        parameters["marks"] = answer.marks
    if parameters:
        document["parameters"] = parameters
    return document
