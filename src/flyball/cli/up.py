"""`flyball up`: run all of a project, in this terminal, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.declare.project import find_project, read_project
from flyball.errors import BadInput, Refused
from flyball.serving.address import is_loopback
from flyball.serving.layout import Layout, state_folder
from flyball.serving.supervisor import WATCHDOG_URL, bind, take_lock
from flyball.serving.tracing import VARIABLE as OTLP_URL
from flyball.serving.tracing import require as require_traces
from flyball.serving.whole import require_whole
from flyball.settings import read_settings

app = common.app()


@app.command()
def up(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="the address to listen on; where other machines reach it, callers need tokens",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="the port to listen on", show_default="7117")
    ] = None,
    gateways: Annotated[
        int | None, typer.Option("--gateways", metavar="N", min=1, max=64, help="gateway processes", show_default="2")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="apply loop files when they change, as it does without being told")] = False,
    no_watch: Annotated[bool, typer.Option("--no-watch", help="leave loop files to flyball apply")] = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Start gateways, workers and the loop; say where they listen. Ctrl-C ends it in order: open requests are answered first."""
    common.not_both("--watch", "--no-watch", both=watch and no_watch)
    # not by way of wiring, whose imports would cost what the first answer waits for; the control plane opens the store
    root = find_project(project)
    settings = read_settings(read_project(root, env).settings, os.environ)
    place = (host if host is not None else settings.host).strip()
    address = port if port is not None else settings.port
    count = gateways if gateways is not None else settings.gateways
    if not 1 <= address <= 65535 or count < 1:
        raise BadInput(
            f"port {address} and {count} gateways cannot be", why="ports are 1 to 65535, gateways 1 or more", fix="mend [settings]"
        )
    if os.environ.get("FLYBALL_TOKEN"):
        _require_right(root, env, watch=not no_watch)
    layout = Layout(state_folder(root, env))
    # said here at once; the supervisor looks again once it has the lock, without which a restore may begin meanwhile
    require_whole(layout)
    # tried here first, so that a second `up` is refused in the same words and forms as everything else
    os.close(take_lock(layout.lock))
    with bind(place, address) as listener:
        if not is_loopback(str(listener.getsockname()[0])):
            _require_token(root, env, place)
    if not (quiet or as_json) and not any((root / name).exists() for name in ("loop.py", "loops")):
        print("no loop file yet: write loop.py, it is applied when it is there", file=sys.stderr)
    tell = "json" if as_json else "nothing" if quiet else "text"
    command = ["--root", str(root), "--env", env, "--host", place, "--port", str(address), "--gateways", str(count), "--tell", tell]
    command += ["--loop-silent", str(settings.loop_silent_s), "--loop-kill", str(settings.loop_kill_s)]
    _require_http(settings.watchdog_url)
    require_traces(settings.otlp_url)
    os.environ[WATCHDOG_URL] = settings.watchdog_url
    if settings.otlp_url:
        os.environ[OTLP_URL] = settings.otlp_url
    _become(command, env, watch=not no_watch)


def _require_http(url: str) -> None:
    """Whom the watchdog tells is an http address. Raises BadInput."""
    if url and not url.startswith(("http://", "https://")):
        raise BadInput(
            "the setting watchdog_url is no http address", why="it is told there by an HTTP POST", fix="https://…, or leave it out"
        )


def _become(command: Sequence[str], env: str, *, watch: bool) -> NoReturn:
    """Let the supervisor take this process's place: it is standard library only, and the terminal's Ctrl-C reaches it, when it can take one."""
    control = "python -P -m flyball.api.control" + (f" --env {env}" if env else "") + ("" if watch else " --no-watch")
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # workers run users' code, and no process of these gives commands as a person
    os.environ.pop("FLYBALL_TOKEN", None)
    os.execv(  # noqa: S606 - our own interpreter, arguments in a list
        sys.executable, [sys.executable, "-P", "-m", "flyball.serving.supervisor", *command, "--control", control]
    )


def _require_right(root: Path, env: str, *, watch: bool) -> None:
    """Whoever brings a token may set the loop going, and with `watch` apply the loop files. Raises Refused, Unauthenticated, Unavailable.

    Who brings none is the user of this machine, whose files these are: they are not asked, so predictions come back without the database.
    """
    from flyball.loop.authority import Drive, Watch

    with common.opened(root, env) as wired:
        wired.permit(Drive)
        if watch:
            try:
                wired.permit(Watch)
            except Refused as refused:
                fix = "flyball up --no-watch: the loop keeps to what was applied"
                raise Refused(refused.what, why=refused.why, fix=fix, code=refused.code) from None


def _require_token(root: Path, env: str, host: str) -> None:
    """Gateways that others reach answer to tokens alone: without one that somebody was given, they would answer to nobody. Raises Refused."""
    from flyball.governance.authority import LOOP_ACTOR, is_valid
    from flyball.records.identity import TOKENS
    from flyball.serving.tokens import publish

    with common.opened(root, env) as wired:
        now = wired.ports.clock.now()
        rows = [row for _, row in wired.ports.ledger.state().scan(TOKENS)]
        if not any(is_valid(row, now) and row.created_by != LOOP_ACTOR for row in rows):
            raise Refused(
                f"flyball does not listen on {host}: nobody has a token",
                why="other machines reach that address, so every caller needs one",
                fix="flyball token create PERSON --scope predict, then flyball up again; or leave --host away: this machine alone needs none",
                code="no-token",
            )
        publish(wired.layout, rows)
