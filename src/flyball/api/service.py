"""What the control plane's process does for others beside the loop: requests, and what keeps gateways and record up to date."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from flyball.api.gate import Gate
from flyball.api.keeper import Keeper
from flyball.serving.host import Host
from flyball.wiring import Wired


class Service:
    """Threads beside the loop, which never waits for them."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._gate = Gate(wired)
        self._keeper = Keeper(wired, self._gate.failures, _say)
        self._host = Host(wired.layout.control_socket(), self._application, _say)

    def start(self) -> None:
        """Begin."""
        self._keeper.start()
        self._host.start()

    def stop(self) -> None:
        """Answer what is open, and end."""
        self._host.stop()
        self._keeper.stop()

    def _application(self) -> Any:
        # Starlette takes a while to import, and the loop need not wait for that
        from flyball.api.app import Api

        return Api(self._wired, self._gate, _say, works=self._keeper.check, ending=self._host.ending).app


def _say(text: str) -> None:
    """Tell the log of this process, which may lie on the very disk that refuses."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
