"""Receivers of messages that are really there: an HTTP server and an SMTP server of their own, which fail, hang and come back when they are told to."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass
class Got:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.raw)


@dataclass
class Receiver:
    """Answers with `answers` in turn, the last one for ever: a status, with headers, after a while (`hang_s`), byte by byte (`drip_s`), or header by header (`slow_head_s`). `taken` is what was answered with 2xx."""

    port: int = 0
    status: Callable[[Got], int] = lambda _got: 202
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    drip_s: float = 0.0
    slow_head_s: float = 0.0
    reply: bytes = b'{"status":"success"}'
    got: list[Got] = field(default_factory=list)
    taken: list[Got] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    def start(self) -> Receiver:
        """Listen; on the same port as before, if it was stopped."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", "0")))
                got = Got(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
                receiver.got.append(got)
                status = receiver.status(got)
                if receiver.hang_s:
                    time.sleep(receiver.hang_s)
                if 200 <= status < 300:
                    receiver.taken.append(got)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                for number in range(200 if receiver.slow_head_s else 0):
                    self.send_header(f"x-{number}", "x")
                    self.flush_headers()
                    time.sleep(receiver.slow_head_s)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(receiver.reply)))
                self.end_headers()
                for part in [receiver.reply[at : at + 1] for at in range(len(receiver.reply))] if receiver.drip_s else [receiver.reply]:
                    self.wfile.write(part)
                    time.sleep(receiver.drip_s)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Whoever asked has gone."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def receiving(**more: Any) -> Iterator[Receiver]:
    receiver = Receiver(**more).start()
    try:
        yield receiver
    finally:
        receiver.stop()


@dataclass
class Mailbox:
    """An SMTP server that takes mails without a password. `answer` is what it says to a mail: `250 ok`; it takes nothing for `refuses`."""

    port: int = 0
    answer: str = "250 ok"
    refuses: str = ""
    mails: list[str] = field(default_factory=list)


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 box")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-box")
                    self.say("250 8BITMIME")
                elif verb == "DATA":
                    self.say("354 go on")
                    parts = []
                    while (part := self.rfile.readline().decode()) not in (".\r\n", ""):
                        parts.append(part.removeprefix("."))
                    if box.answer.startswith("2"):
                        box.mails.append("".join(parts))
                    self.say(box.answer)
                elif verb == "RCPT" and box.refuses and box.refuses in line:
                    self.say("550 nobody of that name")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    server = Server(("127.0.0.1", 0), Handler)
    box.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
