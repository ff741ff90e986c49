"""`flyball up`: run all of a project, in this terminal, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Json, Project, Quiet
from flyball.declare.project import find_project, read_project
from flyball.errors import BadInput
from flyball.serving.layout import Layout
from flyball.serving.supervisor import bind, take_lock
from flyball.settings import read_settings

app = common.app()


@app.command()
def up(
    *,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="where to listen on 127.0.0.1", show_default="7117")
    ] = None,
    gateways: Annotated[
        int | None, typer.Option("--gateways", metavar="N", min=1, max=64, help="gateway processes", show_default="2")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="apply loop files when they change")] = True,
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Start gateways, workers and the loop; say where they listen. Ctrl-C ends it in order: open requests are answered first."""
    # not by way of wiring, whose imports would cost what the first answer waits for; the control plane opens the store
    root = find_project(project)
    settings = read_settings(read_project(root).settings.get("settings", {}), os.environ)
    address = port if port is not None else settings.port
    count = gateways if gateways is not None else settings.gateways
    if not 1 <= address <= 65535 or count < 1:
        raise BadInput(
            f"port {address} and {count} gateways cannot be", why="ports are 1 to 65535, gateways 1 or more", fix="mend [settings]"
        )
    # tried here first, so that a second `up` is refused in the same words and forms as everything else
    os.close(take_lock(Layout(root / ".flyball").lock))
    bind("127.0.0.1", address).close()
    if not (quiet or as_json) and not any((root / name).exists() for name in ("loop.py", "loops")):
        print("no loop file yet: write loop.py, it is applied when it is there", file=sys.stderr)
    control = "python -P -m flyball.api.control" + ("" if watch else " --no-watch")
    tell = "json" if as_json else "nothing" if quiet else "text"
    command = ["--root", str(root), "--port", str(address), "--gateways", str(count), "--control", control, "--tell", tell]
    sys.stdout.flush()
    sys.stderr.flush()
    # the supervisor takes this process's place: it is standard library only, and the terminal's Ctrl-C reaches it, when it can take one
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(  # noqa: S606 - our own interpreter, arguments in a list
        sys.executable, [sys.executable, "-P", "-m", "flyball.serving.supervisor", *command]
    )
