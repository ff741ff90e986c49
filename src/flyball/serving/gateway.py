"""One gateway process: `python -m flyball.serving.gateway --root .flyball --name g0 --fd N --pipe M`.

Takes requests on a socket that the supervisor bound, routes by a file, talks to workers, writes the log. It never imports a model,
a database or a data frame, and it needs nobody but its workers to go on answering.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
import uvloop

from flyball.errors import BadInput
from flyball.records.codec import encode
from flyball.serving import ids, lifeline, table, tracing, wal
from flyball.serving.address import is_loopback, loopback_names
from flyball.serving.coalesce import CoalescingHttp
from flyball.serving.dispatch import Dispatcher
from flyball.serving.forward import Forward
from flyball.serving.heard import Listening
from flyball.serving.http import Gateway
from flyball.serving.layout import Layout, write_whole
from flyball.serving.limits import Limits
from flyball.serving.metrics import Metrics
from flyball.serving.ownhost import OwnHost
from flyball.serving.tokens import Guard


def _say(text: str) -> None:
    """Tell the log of this process, which may lie on the very disk that refuses."""
    with suppress(OSError):
        print(text, flush=True)


class RouteWatcher:
    """Keeps a dispatcher on the newest route table and says so in the acknowledgement file."""

    def __init__(self, layout: Layout, name: str, dispatcher: Dispatcher, limits: Limits) -> None:
        self._layout = layout
        self._name = name
        self._dispatcher = dispatcher
        self._limits = limits
        self._seen: tuple[int, int, int] | None = None
        self._owed: table.Ack | None = None
        self._refused = ""
        self._looked_ns = 0
        self._lock = asyncio.Lock()

    async def fresh(self) -> None:
        """Look before routing, if nobody has looked for too long: this process was not scheduled."""
        if time.monotonic_ns() - self._looked_ns > self._limits.stale_s * 1e9:
            await self.look()

    async def look(self) -> None:
        """Take up a changed route table, and say so."""
        async with self._lock:
            await self._take_up()
            self._looked_ns = time.monotonic_ns()
            self._acknowledge()

    async def _take_up(self) -> None:
        try:
            found = self._layout.routes.stat()
        except FileNotFoundError:
            if self._seen is None:
                self._seen = (0, 0, 0)
                self._owe(table.EMPTY)
            return
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if mark != self._seen:
            await self._take(mark)

    async def _take(self, mark: tuple[int, int, int]) -> None:
        try:
            file = table.read_routes(self._layout.routes.read_bytes())
        except (BadInput, FileNotFoundError) as problem:
            _say(f"{self._name}: {problem}")
            self._seen = mark
            return
        await self._dispatcher.apply(table.Table(file, self._dispatcher.table))
        self._seen = mark
        self._owe(file)

    def _owe(self, file: table.RoutesFile) -> None:
        self._owed = table.Ack(stamp=file.stamp, epoch=file.table.epoch, monotonic_ns=time.monotonic_ns(), pid=os.getpid())
        self._refused = ""

    def _acknowledge(self) -> None:
        """Write the acknowledgement that is owed; one that the disk refuses is written at a later look."""
        if self._owed is None:
            return
        path = self._layout.ack(self._name)
        try:
            write_whole(path, encode(self._owed))
            self._owed = None
        except OSError as problem:
            # the table is used all the same, and who says nothing is not killed for what it said before
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if str(problem) != self._refused:
                self._refused = str(problem)
                _say(f"{self._name}: the acknowledgement cannot be written: {problem}")


async def look_at_all(guard: Guard | None, watcher: RouteWatcher) -> None:
    """Take up changed tokens and routes: tokens first, and neither waits for the other to be readable. Raises OSError."""
    try:
        if guard is not None:
            guard.look()
    finally:
        await watcher.look()


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn's own handling ends the process before the last records are written."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _every(seconds: float, name: str, action: Callable[[], Awaitable[None]]) -> None:
    """Run `action` for ever, `seconds` apart; whatever keeps it from its work is told, and it is tried again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await action()
        except OSError as problem:
            # a full disk must not end what keeps this gateway going
            _say(f"{name} failed: {problem}")
        except Exception as problem:  # noqa: BLE001 - nor may a mistake of ours: revoked tokens would be taken for ever
            _say(f"{name} failed: {type(problem).__name__}: {ascii(str(problem))[:300]}")


def _server(app: Gateway, limits: Limits) -> _Server:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=CoalescingHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(limits.drain_s),
    )
    return _Server(config)


def _ids(layout: Layout, name: str) -> ids.Ids:
    """Ids of this gateway's own number."""
    number = int("".join(char for char in name if char.isdigit()) or "0")
    return ids.Ids(ids.load_key(layout.id_key), number)


async def serve(layout: Layout, name: str, listener: socket.socket, pipe: int, limits: Limits) -> None:
    """Serve until told to stop; then answer what is open, bring the log to disk, and return."""
    layout.prepare()
    writer = wal.Writer(layout.log, name)
    metrics, listening = Metrics(layout, name), Listening(layout.heard(name))
    traces = tracing.connect(os.environ.get(tracing.VARIABLE, ""), "gateway", name)
    dispatcher = Dispatcher(layout, writer=writer, ids=_ids(layout, name), metrics=metrics, limits=limits, traces=traces)
    watcher = RouteWatcher(layout, name, dispatcher, limits)
    address = str(listener.getsockname()[0])
    own = OwnHost(loopback_names(address)) if is_loopback(address) else None
    guard = Guard(layout, name) if own is None else None
    forward = Forward(layout.control_socket(), limits, shared=own is not None)
    app = Gateway(dispatcher, metrics, limits, watcher.fresh, _say, guard=guard, forward=forward, own=own, traces=traces)
    server = _server(app, limits)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        # what is streamed has no end of its own to wait for
        forward.close()

    def orphaned() -> None:
        loop.call_soon_threadsafe(stop)

    async def sweep() -> None:
        dispatcher.sweep()

    async def look() -> None:
        await look_at_all(guard, watcher)

    async def each_second() -> None:
        if guard is not None:
            guard.hand_over()
        await loop.run_in_executor(None, writer.sync)
        await loop.run_in_executor(None, metrics.save, metrics.copy())
        if writer.is_whole:
            await loop.run_in_executor(None, listening.note)

    await look()
    lifeline.watch(pipe, orphaned)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [
        loop.create_task(_every(limits.look_s, "looking for routes", look)),
        loop.create_task(_every(0.1, "sweeping", sweep)),
        loop.create_task(_every(1.0, "saving", each_second)),
    ]
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        dispatcher.close()
        with suppress(OSError):
            writer.close()
            metrics.save(metrics.copy())
            if writer.is_whole:
                listening.close()
        if traces is not None:
            await loop.run_in_executor(None, traces.close)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="flyball.serving.gateway")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--pipe", type=int, default=0)
    options = parser.parse_args(argv)
    listener = socket.socket(fileno=options.fd)
    listener.setblocking(False)
    uvloop.run(serve(Layout(options.root), options.name, listener, options.pipe, Limits()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
