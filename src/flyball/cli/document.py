"""The one JSON document that stdout gets under --json: written whole, and once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Document:
    """Whether this verb has written its document. A verb is one process; in tests `main.run` begins anew."""

    def __init__(self) -> None:
        self.written = False

    def write(self, value: Any) -> None:
        """Write plain values as one line. Ctrl-C waits for nothing here and is not heard: half a document is none, and the work is done."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        with deaf():
            self.written = True
            print(text, flush=True)


@contextmanager
def deaf() -> Iterator[None]:
    """Neither this process nor one that is started in here hears Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


DOCUMENT = Document()
