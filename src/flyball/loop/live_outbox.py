"""Sends messages: over HTTP, by SMTP, or through apprise. A thread for each route that is at work, so that one that hangs holds up itself alone.

What a receiver or a library says is told without the secret that it may hold.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from flyball.clock import Instant
from flyball.data.sources.secrets import Secrets
from flyball.declare.routes import Route, Routes, in_the_clear
from flyball.errors import BadInput
from flyball.incidents.channels import alertmanager, pagerduty, slack, webhook
from flyball.incidents.channels.request import Channel
from flyball.incidents.retries import Answer, Tried, asked_to_wait, judged
from flyball.records.deliveries import DeliveryRow, DeliveryState, Message

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
"""How long a receiver may take for one message."""

_ANSWER = 16 << 10
"""Bytes of an answer that are read: the rest says nothing to us."""

_SAID = 200

HTTP: Mapping[str, Channel] = MappingProxyType(
    {"pagerduty": pagerduty.request, "alertmanager": alertmanager.request, "slack": slack.request, "webhook": webhook.request}
)
"""Kinds of routes that take an HTTP request."""


class LiveOutbox:
    """The routes of a project. Secrets are looked up whenever a message is sent."""

    def __init__(self, routes: Routes, secrets: Secrets, now: Callable[[], Instant], *, timeout_s: float = TIMEOUT_S) -> None:
        self._routes, self._secrets, self._now, self._timeout_s = routes, secrets, now, timeout_s
        self._working: dict[str, threading.Thread] = {}
        self._ended: list[Tried] = []
        self._lock = threading.Lock()

    @property
    def routes(self) -> Routes:
        """What is declared."""
        return self._routes

    def begin(self, route: str, letters: Sequence[DeliveryRow]) -> bool:
        """Send messages beside the loop, in order, up to the first that is not taken now; False while the route is at work already.

        What was sent and not yet asked for is not sent again: a route is at work until `ended` was asked after it.
        """
        with self._lock:
            working = self._working.get(route)
            if working is not None and (working.is_alive() or any(one.route == route for one in self._ended)):
                return False
            thread = threading.Thread(target=self._send_all, args=(self._routes.routes[route], letters), name=f"route-{route}", daemon=True)
            self._working[route] = thread
            thread.start()
        return True

    def ended(self) -> Sequence[Tried]:
        """What tries came to since this was asked, in order."""
        with self._lock:
            found, self._ended = self._ended, []
        return found

    def wait(self, seconds: float) -> None:
        """Wait until what was begun is over, so long at most."""
        until = time.monotonic() + seconds
        for thread in list(self._working.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def _send_all(self, route: Route, letters: Sequence[DeliveryRow]) -> None:
        for row in letters:
            answer = self._send(route, row.said)
            taken = answer.outcome == "delivered"
            one = Tried(
                route=route.name,
                message=row.said.message,
                outcome=answer.outcome,
                at=self._now(),
                receipt=answer.told if taken else "",
                why="" if taken else answer.told,
                wait=answer.wait,
                kept=row.state == DeliveryState.DELIVERED,
                missed=answer.missed,
            )
            with self._lock:
                self._ended.append(one)
            if answer.outcome in ("later", "barred"):
                return

    def _send(self, route: Route, message: Message) -> Answer:
        """One try. Never raises: whatever goes wrong is what it came to."""
        secret = ""
        try:
            secret = self._secrets.get(route.secret) if route.secret else ""
            found = self._by_kind(route, message, secret)
        except BadInput as error:
            found = Answer(outcome="barred", told="; ".join(filter(None, (error.what, error.why, error.fix))))
        except OSError as error:
            found = Answer(outcome="later", told=error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - libraries of others send here, in a thread of their own, and a message must not be lost by them
            found = Answer(outcome="later", told=f"{type(error).__name__}: {error}")
        told = found.told.replace(secret, "…") if secret else found.told
        return Answer(outcome=found.outcome, told=" ".join(told.split())[:_SAID], wait=found.wait, missed=found.missed)

    def _by_kind(self, route: Route, message: Message, secret: str) -> Answer:
        if route.kind == "email":
            # it takes libraries along that most processes do without
            from flyball.loop.live_mail import send_mail

            return send_mail(route, message, secret, self._now(), self._timeout_s)
        if route.kind == "apprise":
            return send_apprise(message, secret)
        if route.kind == "slack" and in_the_clear(secret):
            return Answer(outcome="barred", told="the address that its secret holds is not encrypted: it begins with http, not https")
        return post(HTTP[route.kind], route, message, secret, self._now(), self._timeout_s)


def post(channel: Channel, route: Route, message: Message, secret: str, now: Instant, timeout_s: float) -> Answer:
    """Send by HTTP. A receiver that answers byte by byte for longer than the timeout is cut off: what counts is the status, if it came by then."""
    import httpx

    asked = channel(message, route, secret, now)
    deadline = Deadline(timeout_s)
    try:
        # that the library gets ready is no fault of the receiver's
        with (
            httpx.Client(timeout=timeout_s) as client,
            deadline,
            client.stream(
                asked.method, asked.url, headers=asked.headers, content=asked.body, extensions={"trace": deadline.heard}
            ) as answer,
        ):
            outcome = judged(answer.status_code)
            wait = asked_to_wait(answer.headers.get("retry-after", ""), _from_now(answer.headers.get("retry-after", ""), now))
            status, kind = answer.status_code, answer.headers.get("content-type", "")
            body = _start_of(answer, deadline)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
        # what libraries say of an address may hold it, and it may be the secret
        return Answer(outcome="later", told="it did not answer in time" if deadline.over else _reason(error))
    said = body[:_ANSWER].decode("utf-8", "replace") if kind.startswith(("application/json", "text/plain")) else ""
    return Answer(outcome=outcome, told=f"it answered {status} {said}".strip(), wait=wait)


def _start_of(answer: httpx.Response, deadline: Deadline) -> bytes:
    """As much of an answer as is read, and came in time. Raises httpx.TransportError where it broke off before."""
    import httpx

    body = b""
    try:
        for part in answer.iter_raw():
            body += part
            if len(body) >= _ANSWER or deadline.over:
                break
    except httpx.TransportError:
        if not deadline.over:
            raise
    return body


class Deadline:
    """Ends a connection after so many seconds, whatever comes over it: the timeouts of the library begin anew with each byte."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def heard(self, event: str, info: Mapping[str, Any]) -> None:
        """What the library says that it does: takes note of the connection once there is one."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.over:
                self._end()

    def _end(self) -> None:
        self.over = True
        if self._socket is not None:
            with suppress(OSError):
                # of an encrypted one too, the connection below
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__cause__ or cause.__context__
    return f"it cannot be reached: {cause.strerror}" if isinstance(cause, OSError) else f"it cannot be reached: {type(error).__name__}"


def _from_now(header: str, now: Instant) -> Instant | None:
    """How far ahead lies the date of a `Retry-After`; None for what is none."""
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000) - now


def send_apprise(message: Message, secret: str) -> Answer:
    """Send through apprise, which knows a hundred services. Raises BadInput where it is not installed."""
    try:
        import apprise
    except ImportError:
        raise BadInput("apprise is not installed", fix="pip install 'flyball[apprise]'") from None
    server = apprise.Apprise()
    if not server.add(secret):
        return Answer(outcome="barred", told="apprise does not know this address")
    kinds = {"critical": "failure", "warning": "warning", "info": "success" if message.act == "resolve" else "info"}
    body = f"{message.text}\n\n{message.command}\n{message.thread}"
    taken = server.notify(title=message.title, body=body, notify_type=kinds[message.severity])
    return Answer(outcome="delivered" if taken else "later", told="apprise has sent it" if taken else "apprise could not send it")
