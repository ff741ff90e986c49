"""The caller: a process of its own that asks one server over kept connections, and says how long the answers took. `loading.py` reads a `Load` on stdin.

Requests are built before the first is sent. A closed loop asks again on each connection as soon as it was answered. An open loop asks at a fixed
rate, whatever the server does, and counts each answer from the moment at which its question was due: a server that stalls is charged for all that
would have been asked meanwhile. It waits by `select`, whose timeout is in microseconds; that of an event loop is in milliseconds.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

CONNECTIONS = 16
"""Callers at a time."""

PATIENCE_S = 15.0
"""How long an answer may take before it counts as none."""


class Load(msgspec.Struct, frozen=True):
    """What is asked: `requests` in turn, over and over. `rate` in requests a second; None: a closed loop. `seconds` None: until stdin ends."""

    host: str
    port: int
    requests: list[bytes]
    connections: int = CONNECTIONS
    seconds: float | None = None
    rate: float | None = None


class Told(msgspec.Struct, frozen=True):
    """What came of it. `failed` counts answers that are not 200 and connections that ended, by what they said. Milliseconds."""

    answered: int
    seconds: float
    failed: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def failures(self) -> int:
        """All that was not answered 200."""
        return sum(self.failed.values())

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


@dataclass(eq=False)
class _Line:
    """One connection. `since_ns`: when what is open on it was due; 0: nothing is."""

    address: tuple[str, int]
    since_ns: int = 0
    heard: bytes = b""
    socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.connect()

    def fileno(self) -> int:
        """What `select` looks at."""
        return self.socket.fileno()

    def connect(self) -> None:
        """Anew."""
        self.socket = socket.create_connection(self.address, timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""

    def ask(self, request: bytes, due_ns: int) -> None:
        """Send a request."""
        self.since_ns = due_ns
        try:
            self.socket.sendall(request)
        except OSError:
            self.socket.close()
            self.connect()
            self.socket.sendall(request)

    def answer(self) -> str:
        """The status of the answer that is whole; empty while it is not."""
        try:
            part = self.socket.recv(1 << 18)
        except OSError:
            part = b""
        if not part:
            self.socket.close()
            self.connect()
            return "closed"
        heard = self.heard = self.heard + part
        head = heard.find(b"\r\n\r\n")
        if head < 0:
            return ""
        names = heard[:head].lower()
        place = names.find(b"content-length:")
        if place < 0:
            raise SystemExit(f"an answer does not say how long it is: {names[:300]!r}")
        end = names.find(b"\r\n", place)
        if len(heard) < head + 4 + int(names[place + 15 : end if end > 0 else head]):
            return ""
        self.heard = b""
        return heard[9:12].decode()


class _Caller:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.lines = [_Line((load.host, load.port)) for _ in range(load.connections)]
        self.took: list[int] = []
        self.failed: Counter[str] = Counter()
        self.asked = 0

    def ask(self, line: _Line, due_ns: int) -> None:
        line.ask(self.load.requests[self.asked % len(self.load.requests)], due_ns)
        self.asked += 1

    def hear(self, wait_s: float, *, stdin: bool = False) -> tuple[list[_Line], bool]:
        """The lines that are free now, and whether stdin has ended."""
        open_ = [line for line in self.lines if line.since_ns]
        found, _, _ = select.select([*open_, sys.stdin] if stdin else open_, [], [], max(wait_s, 0))
        free = []
        for line in open_:
            if line not in found or not (status := line.answer()):
                continue
            now = time.monotonic_ns()
            if status == "200":
                self.took.append(now - line.since_ns)
            else:
                self.failed[status] += 1
            line.since_ns = 0
            free.append(line)
        return free, stdin and sys.stdin in found

    def drain(self) -> None:
        """Hear what is still open."""
        until = time.monotonic() + PATIENCE_S
        while any(line.since_ns for line in self.lines) and time.monotonic() < until:
            self.hear(0.1)
        self.failed["none"] += sum(1 for line in self.lines if line.since_ns)

    def closed(self) -> None:
        until = time.monotonic() + self.load.seconds if self.load.seconds is not None else float("inf")
        for line in self.lines:
            self.ask(line, time.monotonic_ns())
        while (now := time.monotonic()) < until:
            free, ended = self.hear(min(until - now, 1.0), stdin=self.load.seconds is None)
            if ended:
                break
            for line in free:
                self.ask(line, time.monotonic_ns())

    def open(self, rate: float) -> None:
        begun, each = time.monotonic_ns(), 1e9 / rate
        last = begun + int(self.load.seconds * 1e9) if self.load.seconds is not None else 1 << 62
        free, place = deque(self.lines), 0
        while True:
            now, due = time.monotonic_ns(), begun + int(place * each)
            while due <= now and free and due < last:
                self.ask(free.popleft(), due)
                place += 1
                due = begun + int(place * each)
            if due >= last:
                return
            again, ended = self.hear((due - now) / 1e9 if free else 1.0, stdin=self.load.seconds is None)
            if ended:
                return
            free.extend(again)


def call(load: Load) -> Told:
    """Ask, and say what came of it."""
    caller = _Caller(load)
    begun = time.monotonic()
    if load.rate is None:
        caller.closed()
    else:
        caller.open(load.rate)
    spent = time.monotonic() - begun
    caller.drain()
    took = sorted(caller.took) or [0]
    at = [took[min(int(len(took) * share), len(took) - 1)] / 1e6 for share in (0.5, 0.99, 1.0)]
    return Told(len(caller.took), spent, {key: count for key, count in caller.failed.items() if count}, *at)


class Calling:
    """A caller under way in its own process."""

    def __init__(self, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.loading"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(load) + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Calling:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left of it, however this ended."""
        self._process.kill()
        self._process.wait()

    def told(self) -> Told:
        """End it, where nothing else does, and wait for what it says."""
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit(f"the caller ended with {self._process.returncode}")
        return msgspec.json.decode(said, type=Told)


def request(path: str, body: Any, host: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The bytes of a POST with a JSON body, over a connection that is kept."""
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode() + data


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(call(msgspec.json.decode(sys.stdin.readline(), type=Load))).decode())
