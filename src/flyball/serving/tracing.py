"""OpenTelemetry spans of the request path: gateway → worker (queue, features, predict). The only module that knows the library, and it is imported late.

Without the setting `otlp_url` there is none of it: nothing is imported, and a request is asked once whether anybody traces. Spans are sent by a thread
of the library's own; a collector that is away costs spans and no answer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from flyball.errors import BadInput
from flyball.serving.wire import Question

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

VARIABLE = "FLYBALL_OTLP_URL"
"""How the setting reaches gateways and workers, which read no flyball.toml."""

EXTRA = "pip install 'flyball[otel]'"

_PATH = "/v1/traces"
_SEND_S = 2.0
"""How long a collector may take; what it does not take by then is lost."""

_VERBS = frozenset({"predict", "explain", "labels", "predictions", "schema", "infer", "ready"})
_SERVER_FAULT = 500


class Asked(NamedTuple):
    """A request that is being traced: its span, and what the context was before it."""

    span: Span
    token: Any


class Asking(NamedTuple):
    """A question to a worker that is being traced, and the context that it began in."""

    span: Span
    parent: Context

    @property
    def header(self) -> str:
        """What the worker is told, as a W3C traceparent; empty where nobody keeps the span."""
        return traceparent(self.span) if self.span.is_recording() else ""


def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        return find_spec("opentelemetry.sdk") is not None and find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def require(url: str) -> None:
    """Raise BadInput unless spans can be sent there."""
    if url and not url.startswith(("http://", "https://")):
        raise BadInput("the setting otlp_url is no http address", why="spans are sent there by OTLP over HTTP", fix="http://localhost:4318")
    if url and not is_installed():
        raise BadInput("otlp_url is set, and OpenTelemetry is not installed", why="spans are made and sent by its library", fix=EXTRA)


def connect(url: str, process: str, instance: str) -> Traces | None:
    """Who makes the spans of one process, a `gateway` or a `worker`; None where nobody asked for any, or the library is not there (which is said)."""
    if not url:
        return None
    if not is_installed():
        # a worker in an environment of its own has what its version was made with
        print(f"otlp_url is set, and OpenTelemetry is not installed here: no spans. {EXTRA}", file=sys.stderr, flush=True)
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    address = url.rstrip("/")
    return Traces(OTLPSpanExporter(endpoint=address if address.endswith(_PATH) else address + _PATH, timeout=_SEND_S), process, instance)


class Traces:
    """Makes spans, and sends them. Which requests are kept is the library's to say (`OTEL_TRACES_SAMPLER`; a caller's own choice is followed)."""

    def __init__(self, exporter: SpanExporter, process: str, instance: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": f"flyball-{process}", "service.namespace": "flyball", "service.instance.id": instance})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("flyball")
        self._context, self._trace, self._propagator = context, trace, TraceContextTextMapPropagator()

    def begin(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Asked:
        """A request has come; it is part of its caller's trace where that says so."""
        route = route_of(path)
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in (b"traceparent", b"tracestate")}
        # what is not of the semantic conventions has our name before it
        named = {"http.request.method": method, "http.route": route, "url.path": path[:200], "url.scheme": "http"}
        span = self._tracer.start_span(
            f"{method} {route}", self._propagator.extract(carrier), kind=self._trace.SpanKind.SERVER, attributes=named
        )
        return Asked(span, self._context.attach(self._trace.set_span_in_context(span)))

    def describe(self, model: str, request_id: str, rows: int) -> None:
        """Of the request under way: which model, the id by which the log knows it, how many rows."""
        self._trace.get_current_span().set_attributes({"flyball.model": model, "flyball.request.id": request_id, "flyball.rows": rows})

    def end(self, asked: Asked, status: int, code: str) -> tuple[bytes, bytes]:
        """It was answered; the header that tells the caller which trace it is part of. code: of the error, if it was one."""
        asked.span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_FAULT:
            self._fail(asked.span, code or str(status))
        asked.span.end()
        self._context.detach(asked.token)
        return b"traceresponse", traceparent(asked.span).encode()

    def ask(self, version: str, role: str, rows: int, parent: Context | None = None) -> Asking:
        """A worker is asked. parent: None is the request under way."""
        within = self._context.get_current() if parent is None else parent
        named: dict[str, str | int] = {"network.transport": "unix", "flyball.version": version, "flyball.role": role, "flyball.rows": rows}
        return Asking(self._tracer.start_span("ask worker", within, kind=self._trace.SpanKind.CLIENT, attributes=named), within)

    def settle(self, asking: Asking, error: str | None) -> None:
        """What became of the question."""
        if error is not None:
            self._fail(asking.span, "no-answer", error[:200])
        asking.span.end()

    def batch(self, questions: Sequence[Question], began_ns: int, split_ns: int, ended_ns: int) -> None:
        """What a worker did for the questions of one batch: they waited, features were put together for all of them, and all were predicted."""
        rows = sum(len(question.rows) for question in questions)
        # what failed before the features were there has no prediction
        split = split_ns if began_ns <= split_ns <= ended_ns else ended_ns
        for question in questions:
            if not question.trace:
                continue
            within = self._propagator.extract({"traceparent": question.trace})
            for name, start, end in (
                ("queue", min(question.sent_ns, began_ns), began_ns),
                ("features", began_ns, split),
                ("predict", split, ended_ns),
            ):
                named = {"flyball.rows": len(question.rows), "flyball.batch.rows": rows, "flyball.batch.questions": len(questions)}
                self._tracer.start_span(name, within, attributes=named, start_time=start).end(end)

    def close(self) -> None:
        """Send what is left, as far as somebody takes it soon."""
        self._provider.force_flush(int(_SEND_S * 1000))
        self._provider.shutdown()

    def _fail(self, span: Span, kind: str, told: str = "") -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR, told or None)


def asked_too(traces: Traces | None, asking: Asking | None, version: str, role: str, rows: int) -> Asking | None:
    """Of a question that is traced, one of the same request to another version; None of any other."""
    return None if traces is None or asking is None else traces.ask(version, role, rows, asking.parent)


def settled(traces: Traces | None, asking: Asking | None, error: str | None) -> None:
    """What became of a question, where it is traced."""
    if traces is not None and asking is not None:
        traces.settle(asking, error)


def traceparent(span: Span) -> str:
    """A span as W3C trace context writes it."""
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"


def route_of(path: str) -> str:
    """The route of a path without what varies in it: `/models/{model}/predict`."""
    if path == "/invocations":
        return path
    found = re.fullmatch(r"(/v2)?/models/[^/]+(/versions/[^/]+)?(?:/([^/]+))?", path)
    if found is None:
        return "/{path}"
    prefix, version, verb = found.groups()
    # what nobody serves is not told by name: there are as many names as callers think of
    told = "" if not verb else f"/{verb}" if verb in _VERBS else "/{verb}"
    return f"{prefix or ''}/models/{{model}}{'/versions/{version}' if version else ''}{told}"
