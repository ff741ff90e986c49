"""An application on a Unix socket beside everything else a process does."""

from __future__ import annotations

import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flyball.serving.host import Host, listen


@pytest.fixture
def path() -> Iterator[Path]:
    # a Unix socket's path is short
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        yield Path(folder) / "s"


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def reached(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def answered(path: Path, within_s: float = 20.0) -> str:
    until = time.monotonic() + within_s
    while not reached(path):
        assert time.monotonic() < until, "nobody answers"
        time.sleep(0.02)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as http:
        return http.get("http://flyball/").text


def test_only_its_user_reaches_it_and_what_another_left_is_replaced(path: Path) -> None:
    path.write_text("left behind")
    host = Host(path, lambda: hello, print)
    host.start()
    try:
        assert answered(path) == "hello"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert threading.current_thread() is threading.main_thread()
    finally:
        host.stop()
    assert not reached(path)


def test_what_other_threads_make_meanwhile_has_the_mode_that_they_asked_for(path: Path) -> None:
    def watched(event: str, _arguments: tuple[Any, ...]) -> None:
        if event == "socket.bind" and threading.get_ident() == own:
            thread = threading.Thread(target=(path.parent / "made").mkdir)
            thread.start()
            thread.join()

    own = threading.get_ident()
    sys.addaudithook(watched)
    listen(path).close()
    own = 0
    assert stat.S_IMODE((path.parent / "made").stat().st_mode) & 0o700 == 0o700


def test_one_that_could_not_begin_begins_again(path: Path) -> None:
    said: list[str] = []
    tries = iter([OSError("no room"), hello])

    def make() -> Callable[..., Any]:
        found = next(tries)
        if isinstance(found, Exception):
            raise found
        return found

    host = Host(path, make, said.append)
    host.start()
    try:
        assert answered(path) == "hello"
        assert said == ["the control plane takes no requests for a moment: OSError: no room"]
    finally:
        host.stop()


def test_one_that_never_began_ends_at_once(path: Path) -> None:
    host = Host(path, lambda: hello, print)
    host.start()
    host.stop()
    assert host.ending()
