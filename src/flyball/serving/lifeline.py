"""How a child learns that its supervisor is dead: the pipe it inherited as stdin (or another descriptor) comes to its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def watch(fd: int, on_end: Callable[[], None]) -> threading.Thread:
    """Call `on_end` once, from a thread of its own, when the other end of `fd` is closed by whatever means."""

    def wait() -> None:
        try:
            while os.read(fd, 4096):
                pass
        except OSError:
            pass
        on_end()

    thread = threading.Thread(target=wait, name="lifeline", daemon=True)
    thread.start()
    return thread
