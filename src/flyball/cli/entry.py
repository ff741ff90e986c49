"""Where the `flyball` command begins: nothing but what Ctrl-C does before the command line is there to answer it.

Until the modules of the command line are loaded, Ctrl-C ends the process as it ends any other, without a word: there is nothing to tell, and
an exception in the middle of an import would come out as a traceback. From then on it is an error like others (main.py).
"""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line, then run it."""
    # a process that was told to ignore Ctrl-C, as those in the background of a script are, goes on ignoring it
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flyball.cli.main import main as run

    run(heard=heard)
