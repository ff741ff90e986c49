"""Spans of the request path reach a real collector, as one trace from the caller through gateway and worker; without the setting there is nothing of it."""

from __future__ import annotations

import gzip
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flyball.errors import BadInput
from flyball.serving import tracing
from flyball.serving.tracing import VARIABLE, route_of
from flyball.serving.wire import Splitter, decode_question, question, traced_question

from .conftest import Loans, Up, challenger, champion, eventually

missing = importlib.util.find_spec("opentelemetry") is None or not tracing.is_installed()
extra = pytest.mark.skipif(missing, reason="it takes the extra otel")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes OTLP over HTTP, as protobuf."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

                raw = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    raw = gzip.decompress(raw)
                assert self.path == "/v1/traces"
                for part in ExportTraceServiceRequest.FromString(raw).resource_spans:
                    service = next(one.value.string_value for one in part.resource.attributes if one.key == "service.name")
                    collector.spans += [(service, span) for scope in part.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def trace(self, trace: str = TRACE) -> dict[str, tuple[str, Any]]:
        """The spans of one trace by name."""
        return {span.name: (service, span) for service, span in self.spans if span.trace_id.hex() == trace}


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@extra
@pytest.mark.process
def test_one_request_is_one_trace_from_its_caller_through_gateway_and_worker(
    loans: Loans, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, collector.url)
    up = Up(loans, gateways=1)
    try:
        up.make(loans.route(champion(loans.artifact())))
        sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = up.http.post("/models/credit/predict", json={"row": {"amount": 5.0, "age": 30}}, headers=sent)
        assert answer.status_code == 200
        names = {"POST /models/{model}/predict", "ask worker", "queue", "features", "predict"}
        eventually(lambda: set(collector.trace()) >= names, "spans of the trace are missing", 20)
        found = collector.trace()
        assert set(found) == names
        service, server = found["POST /models/{model}/predict"]
        assert (service, server.parent_span_id.hex()) == ("flyball-gateway", PARENT)
        told = attributes(server)
        assert (told["http.request.method"], told["http.route"], told["http.response.status_code"]) == (
            "POST",
            "/models/{model}/predict",
            200,
        )
        assert (told["flyball.model"], told["flyball.rows"]) == ("credit", 1)
        assert told["flyball.request.id"] == answer.json()["predictions"][0]["id"], "by which the log knows it"
        assert answer.headers["traceresponse"] == f"00-{TRACE}-{server.span_id.hex()}-01"
        service, asked = found["ask worker"]
        assert (service, asked.parent_span_id) == ("flyball-gateway", server.span_id)
        assert attributes(asked)["flyball.version"] == "credit@1.0.0"
        steps = [found[name] for name in ("queue", "features", "predict")]
        assert {(service, span.parent_span_id) for service, span in steps} == {("flyball-worker", asked.span_id)}
        times = [moment for _, span in steps for moment in (span.start_time_unix_nano, span.end_time_unix_nano)]
        assert times == sorted(times)
        assert asked.start_time_unix_nano <= times[0]
        assert times[-1] <= asked.end_time_unix_nano <= server.end_time_unix_nano
        # a caller that keeps nothing of its trace is followed
        other = "1" * 32
        assert up.http.post(
            "/models/credit/predict", json={"row": {"amount": 5.0, "age": 30}}, headers={"traceparent": f"00-{other}-{PARENT}-00"}
        ).is_success
        wrong = up.http.post("/models/credit/predict", json={"row": {"amount": "x"}}, headers={"traceparent": f"00-{'2' * 32}-{PARENT}-01"})
        assert wrong.status_code == 422
        eventually(lambda: collector.trace("2" * 32), "the refused request has no span", 20)
        [(_, refused)] = collector.trace("2" * 32).values()
        assert (attributes(refused)["http.response.status_code"], refused.status.code) == (422, 0), (
            "an error of the caller's is none of the server's"
        )
        assert collector.trace(other) == {}
    finally:
        up.stop()


@extra
@pytest.mark.process
def test_a_version_that_fails_is_seen_beside_the_one_that_stood_in_and_a_collector_that_is_away_costs_no_answer(
    loans: Loans, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, collector.url)
    up = Up(loans, gateways=1)
    try:
        up.make(loans.route(champion(loans.artifact()), challenger(loans.artifact(broken=True), 10_000)))
        sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = up.http.post("/models/credit/predict", json={"row": {"amount": 600.0, "age": 30}}, headers=sent)
        assert answer.json()["fallback"] == "champion"

        def asked() -> list[Any]:
            return [span for _, span in collector.spans if span.name == "ask worker" and span.trace_id.hex() == TRACE]

        eventually(lambda: len(asked()) == 2, "both questions are spans", 20)
        by = {attributes(span)["flyball.version"]: span for span in asked()}
        assert (by["credit@1.1.0"].status.code, by["credit@1.0.0"].status.code) == (2, 0)
        assert attributes(by["credit@1.1.0"])["error.type"] == "no-answer"
        collector.stop()
        for _ in range(50):
            assert up.predict({"amount": 5.0, "age": 30}).status_code == 200
    finally:
        collector.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        threading.Thread(target=collector.server.serve_forever, args=(0.05,), daemon=True).start()
        code, _, _ = up.stop()
    assert code == 0


def test_without_the_setting_nothing_is_imported_and_questions_are_as_they_were() -> None:
    code = "import sys, flyball.serving.gateway, flyball.serving.worker, flyball.serving.tracing as t; assert t.connect('', 'gateway', 'g0') is None; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
    plain, traced = question(1, None, b"\x90", shadow=False), traced_question(1, None, b"\x90", "00-a-b-01", 7, shadow=True)
    assert len(plain) < len(traced)
    [first, second] = [decode_question(frame) for frame in Splitter().feed(plain + traced)]
    assert (first.trace, first.sent_ns, first.shadow, first.explain) == ("", 0, False, False)
    assert (second.trace, second.sent_ns, second.shadow, second.explain, second.deadline_ns) == ("00-a-b-01", 7, True, False, None)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/models/credit/predict", "/models/{model}/predict"),
        ("/models/credit@1.2.0/predict", "/models/{model}/predict"),
        ("/v2/models/credit/versions/1.0.0/infer", "/v2/models/{model}/versions/{version}/infer"),
        ("/v2/models/credit", "/v2/models/{model}"),
        ("/models/credit/anything-else", "/models/{model}/{verb}"),
        ("/models/a/b/c/d", "/{path}"),
        ("/invocations", "/invocations"),
        ("/invocations/late", "/{path}"),
    ],
)
def test_routes_have_no_names_of_callers_in_them(path: str, route: str) -> None:
    assert route_of(path) == route


def test_an_address_that_is_none_and_a_missing_extra_are_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.require("")
    with pytest.raises(BadInput, match="no http address"):
        tracing.require("localhost:4318")
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)
    with pytest.raises(BadInput, match="is not installed") as raised:
        tracing.require("http://localhost:4318")
    assert raised.value.fix == "pip install 'flyball[otel]'"


def test_a_process_without_the_library_goes_on_without_spans(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)
    assert tracing.connect("http://localhost:4318", "worker", "m@1.0.0") is None
    assert "flyball[otel]" in capsys.readouterr().err
