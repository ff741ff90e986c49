"""The gateway's HTTP surface: a raw ASGI application, for a framework costs more than the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flyball.errors import BadInput, FlyballError, NotFound
from flyball.records.identity import Scope as Need
from flyball.serving import problems, protocol_elsewhere, protocol_explain, protocol_mlflow, protocol_native, protocol_oip
from flyball.serving.dispatch import Dispatcher
from flyball.serving.forward import Forward
from flyball.serving.limits import Limits
from flyball.serving.metrics import Metrics
from flyball.serving.ownhost import OwnHost
from flyball.serving.problems import NotPlain, TooLarge, Unparsable, WrongMethod
from flyball.serving.tokens import Guard
from flyball.serving.tracing import Asked, Traces

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]
_JSON: Headers = [(b"content-type", b"application/json")]
_JSON_LENGTH = b"inference-header-content-length"
_UNLOGGED: Headers = [(b"content-type", b"application/json"), (b"flyball-logged", b"false")]


ROUTES = (
    "POST /models/{model}/predict",
    "POST /models/{model}/explain",
    "POST /models/{model}/labels",
    "POST /models/{model}/predictions",
    "GET /models/{model}/schema",
    "GET /metrics",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2",
    "GET /v2/models/{model}",
    "GET /v2/models/{model}/ready",
    "POST /v2/models/{model}/infer",
    "POST /invocations",
    "GET /ping",
    "GET /health",
    "GET /version",
)
"""Every route. A model may be pinned: `/models/{model}@{version}/…`, `/v2/models/{model}/versions/{version}/…`."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    status: int
    body: bytes
    headers: Headers


def json_response(body: bytes, *, logged: bool = True) -> Response:
    """200 with a JSON body; `flyball-logged: false` when the disk was full."""
    return Response(200, body, _JSON if logged else _UNLOGGED)


def inferred(answer: protocol_oip.Inferred) -> Response:
    """200 with tensors: JSON, or JSON and the bytes that follow it."""
    if answer.json_bytes is None:
        return json_response(answer.body, logged=answer.logged)
    headers = [(b"content-type", b"application/octet-stream"), (_JSON_LENGTH, str(answer.json_bytes).encode())]
    return Response(200, answer.body, headers if answer.logged else [*headers, _UNLOGGED[-1]])


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """The request's body. Raises TooLarge as soon as it is; the rest is read and thrown away, within reason. Raises NotPlain."""
    body = await _whole(scope, receive, limits)
    if _json_bytes(scope, body) is not None:
        what, fix = "binary tensors are not taken here", "send JSON, without Inference-Header-Content-Length"
        raise NotPlain(what, why="they are for …/infer", fix=fix)
    return body


async def read_tensors(scope: Scope, receive: Receive, limits: Limits) -> tuple[bytes, int | None]:
    """As `read_body`, and how many of the bytes are JSON, where others may follow. Raises Unparsable for more than there are."""
    body = await _whole(scope, receive, limits)
    return body, _json_bytes(scope, body)


def _json_bytes(scope: Scope, body: bytes) -> int | None:
    """How many bytes of the body are JSON; None: nothing is said of others."""
    found: int | None = None
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.lower() != b"identity":
            what = f"the body is encoded ({value.decode('latin-1')[:40]})"
            raise NotPlain(what, why="a gateway takes plain bodies only", fix="send it plain, without Content-Encoding")
        if name == _JSON_LENGTH:
            # a longer number is that of no body, and may take long to read
            found = int(value) if value.isdigit() and len(value) < 20 else -1
            if not 0 <= found <= len(body):
                what = f"Inference-Header-Content-Length is {value.decode('latin-1')[:40]}"
                raise Unparsable(
                    what, why=f"the body has {len(body):,} bytes", fix="send the length of the JSON, before the tensors' bytes"
                )
    return found


async def _whole(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= limits.body_bytes:
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size <= limits.body_bytes:
            parts.append(part)
        else:
            parts.clear()
            if size > limits.discard_bytes:
                break
    if size > limits.body_bytes:
        told = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-length"), "")
        what = f"the body has {int(told):,} bytes" if told.isdigit() else f"the body has more than {limits.body_bytes:,} bytes"
        raise TooLarge(what, why=f"a gateway takes {limits.body_bytes:,} at most", fix="send fewer rows a request")
    return b"".join(parts)


class Gateway:
    """The ASGI application."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        metrics: Metrics,
        limits: Limits,
        fresh: Callable[[], Awaitable[None]],
        say: Callable[[str], None] = print,
        *,
        guard: Guard | None = None,
        forward: Forward | None = None,
        own: OwnHost | None = None,
        traces: Traces | None = None,
    ) -> None:
        """guard: who lets callers in (None: nobody is asked for a token). forward: the way to the control plane (None: there is none).

        own: who refuses what pages of other sites send to a loopback address (None: it is none). traces: who makes spans (None: nobody).
        """
        self._native = protocol_native.Native(dispatcher)
        self._oip = protocol_oip.Oip(dispatcher)
        self._predictions = protocol_elsewhere.Predictions(dispatcher)
        self._mlflow = protocol_mlflow.Mlflow(dispatcher)
        self._explain = protocol_explain.Explain(dispatcher, metrics, limits)
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._limits = limits
        self._fresh = fresh
        self._say = say
        self._guard = guard
        self._forward = forward
        self._own = own
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        traced, code = self._begin(scope, path) if self._traces is not None else None, ""
        try:
            if self._own is not None:
                self._own.check(scope)
            if self._forward is not None and path.startswith("/api/"):
                await self._forward(scope, receive, send)
                return
            await self._fresh()
            response = await self._respond(scope, receive, path)
        except FlyballError as error:
            response, code = _told(path, error), error.code
        except Exception as problem:  # noqa: BLE001 - a mistake of ours is told to its caller, and in one line to the log
            self._say(f"{scope['method']} {path[:200]!r} failed: {_line(problem)}")
            what = "the request could not be answered, by a mistake of flyball's own"
            response, code = _told(path, FlyballError(what, fix="the gateway's log names it; please report it")), type(problem).__name__
        headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
        if traced is not None and self._traces is not None:
            headers.append(self._traces.end(traced, response.status, code))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _begin(self, scope: Scope, path: str) -> Asked | None:
        """The span of a request of a model; of what is asked about the gateway itself there is none."""
        if self._traces is None or not path.startswith(("/models/", "/v2/models/", "/invocations")):
            return None
        return self._traces.begin(scope["method"], path, scope["headers"])

    async def _respond(self, scope: Scope, receive: Receive, path: str) -> Response:
        if path.startswith("/models/"):
            return await self._models(scope, receive, path)
        if _is_v2(path):
            return await self._v2(scope, receive, path)
        if path == "/metrics":
            _method(scope, "GET")
            self._admit(scope, Need.PREDICT, "")
            return Response(200, self._metrics.text().encode(), [(b"content-type", b"text/plain; version=0.0.4")])
        return await self._scoring(scope, receive, path)

    async def _scoring(self, scope: Scope, receive: Receive, path: str) -> Response:
        """The routes of MLflow's scoring server."""
        match path:
            case "/invocations":
                _method(scope, "POST")
                return await self._invocations(scope, receive)
            case "/ping":
                _method(scope, "GET")
                return json_response(self._oip.all_ready())
            case "/health":
                _method(scope, "GET")
                return json_response(self._oip.all_ready())
            case "/version":
                _method(scope, "GET")
                self._admit(scope, Need.PREDICT, "")
                return Response(200, _version().encode(), [(b"content-type", b"text/plain; charset=utf-8")])
            case _:
                raise _nowhere(path)

    async def _invocations(self, scope: Scope, receive: Receive) -> Response:
        name, pinned, version = protocol_mlflow.named(scope.get("query_string", b""), scope["headers"]).partition("@")
        if pinned and not version:
            raise _no_version(name)
        name = name or self._mlflow.only()
        # the names of all are not for a token for some
        self._admit(scope, Need.PREDICT, name)
        if not name:
            raise self._mlflow.undecided()
        is_csv = protocol_mlflow.is_csv(scope["headers"])
        body, logged = await self._mlflow.invocations(name, version, await read_body(scope, receive, self._limits), is_csv=is_csv)
        return json_response(body, logged=logged)

    def _admit(self, scope: Scope, need: Need, model: str) -> None:
        if self._guard is not None:
            self._guard.admit(scope, need, model)

    async def _models(self, scope: Scope, receive: Receive, path: str) -> Response:
        parts = path.split("/")
        if len(parts) != 4:
            raise _nowhere(path)
        name, pinned, version = unquote(parts[2]).partition("@")
        if pinned and not version:
            raise _no_version(name)
        verb = parts[3]
        # what was answered elsewhere is told, as labels are: who sends it asks for nothing
        self._admit(scope, Need.FEEDBACK if verb in ("labels", "predictions") else Need.PREDICT, name)
        if verb == "predict":
            _method(scope, "POST")
            body = await read_body(scope, receive, self._limits)
            answered, logged = await self._native.predict(name, version, body)
            return json_response(answered, logged=logged)
        if verb == "explain":
            _method(scope, "POST")
            return json_response(await self._explain.explain(name, version, await read_body(scope, receive, self._limits)))
        if verb == "labels":
            _method(scope, "POST")
            if pinned:
                why = "an id says by itself which version answered"
                raise BadInput(f"labels are not sent to one version ({version[:40]})", why=why, fix=f"POST /models/{name[:64]}/labels")
            status, body = self._native.labels(name, await read_body(scope, receive, self._limits))
            return Response(status, body, _JSON)
        if verb == "predictions":
            _method(scope, "POST")
            if pinned:
                why = "each prediction says by itself which version made it"
                raise BadInput(
                    f"predictions are not sent to one version ({version[:40]})", why=why, fix=f"POST /models/{name[:64]}/predictions"
                )
            status, body = self._predictions.take(name, await read_body(scope, receive, self._limits))
            return Response(status, body, _JSON)
        if verb == "schema":
            _method(scope, "GET")
            return json_response(self._native.schema(name, version))
        raise _nowhere(path)

    async def _v2(self, scope: Scope, receive: Receive, path: str) -> Response:
        parts = [unquote(part) for part in path.split("/")[2:]]
        match parts:
            case []:
                _method(scope, "GET")
                self._admit(scope, Need.PREDICT, "")
                return json_response(protocol_oip.server(_version()))
            case ["health", "live"]:
                _method(scope, "GET")
                return json_response(b'{"live":true}')
            case ["health", "ready"]:
                _method(scope, "GET")
                ready = json_response(self._oip.all_ready())
                # predictions go on without the loop, so this is no 503
                return Response(200, ready.body, [*ready.headers, (b"flyball-loop", b"dead")]) if self._metrics.loop_is_dead() else ready
            case ["models", name, *rest]:
                version = ""
                if len(rest) >= 2 and rest[0] == "versions":
                    version, rest = rest[1], rest[2:]
                    if not version:
                        raise _no_version(name)
                return await self._v2_model(scope, receive, name, version, rest)
            case _:
                raise _nowhere(path)

    async def _v2_model(self, scope: Scope, receive: Receive, name: str, version: str, rest: list[str]) -> Response:
        self._admit(scope, Need.PREDICT, name)
        if rest == ["infer"]:
            _method(scope, "POST")
            return inferred(await self._oip.infer(name, version, *await read_tensors(scope, receive, self._limits)))
        if rest == ["ready"]:
            _method(scope, "GET")
            return json_response(self._oip.ready(name, version))
        if not rest:
            _method(scope, "GET")
            return json_response(self._oip.metadata(name, version))
        raise _nowhere(scope["path"])


@cache
def _version() -> str:
    """That of the installed package."""
    from importlib.metadata import version

    return version("flyball")


def _told(path: str, error: FlyballError) -> Response:
    """The error, as the protocol of the path tells it."""
    if _is_v2(path):
        return Response(error.status, protocol_oip.error_body(error), [*_JSON, *problems.headers(error)])
    return Response(error.status, problems.body(error), [(b"content-type", problems.CONTENT_TYPE), *problems.headers(error)])


def _is_v2(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _line(problem: Exception) -> str:
    """What happened and where, in one line."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(problem).__name__}: {ascii(str(problem))[:300]}{where}"


def _method(scope: Scope, wanted: str) -> None:
    if scope["method"] != wanted:
        raise WrongMethod(f"{scope['path'][:200]} does not take {scope['method']}", fix=f"use {wanted}")


def _no_version(name: str) -> NotFound:
    return NotFound(
        f'the version of "{name[:80]}" is empty', why="the path names a version and does not say which", fix="name one, or none"
    )


def _nowhere(path: str) -> NotFound:
    return NotFound(f"there is nothing at {path[:200]}", why=f"routes: {', '.join(ROUTES)}", fix="see docs/http.md")
