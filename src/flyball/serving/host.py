"""An ASGI application on a Unix socket, in a thread of its own: whoever starts it goes on with what it does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn

_BACKLOG = 256
_DRAIN_S = 3
_AGAIN_S = 1.0


class _Server(uvicorn.Server):
    """Leaves signals to the process's main thread."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(path: Path) -> socket.socket:
    """A socket at `path` that only this user reaches. What an earlier process left there is removed. Raises OSError."""
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # nobody connects before it listens; a umask would be that of all threads
        path.chmod(0o600)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Host:
    """Serves what `make` makes; it is made in the thread, for its imports take a while. `say` takes what went wrong."""

    def __init__(self, path: Path, make: Callable[[], Any], say: Callable[[str], None]) -> None:
        self._path = path
        self._make = make
        self._say = say
        self._server: _Server | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin; requests are taken as soon as the application is made."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is open, for some seconds at most, and end."""
        self._stopped.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=_DRAIN_S + 2)

    def ending(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def _run(self) -> None:
        while not self.ending():
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - whatever ended it, requests are taken again, and the loop never hears of it
                self._say(f"the control plane takes no requests for a moment: {type(error).__name__}: {error}")
            self._stopped.wait(_AGAIN_S)

    def _serve(self) -> None:
        config = uvicorn.Config(
            self._make(),
            loop="asyncio",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        with listen(self._path) as listener:
            self._server = _Server(config)
            if not self.ending():
                asyncio.run(self._server.serve(sockets=[listener]))
