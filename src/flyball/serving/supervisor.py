"""`flyball up`: one process that holds the project's lock and its port, and keeps all others alive. Standard library only.

It decides nothing about models: it starts the control plane, the gateways, and whatever workers run/workers.json lists. Every child has the
end of a pipe as its stdin; should this process die by whatever means, they read its end, finish what is open, and go.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from flyball.compute.guardian import ONE_THREAD, SAME_HASHES
from flyball.errors import Conflict, FlyballError, Interrupted, Refused, kind_of, problem
from flyball.serving.address import reach, url_of
from flyball.serving.children import Child, Spare
from flyball.serving.layout import UNSAID, Layout, read_json, state_folder, worker_name, write_json
from flyball.serving.watchdog import KILL_S, SILENT_S, Limits, Watchdog
from flyball.serving.whole import require_whole

LOOK_S = 0.05
LOCK_WAIT_S = 10.0
"""Children of a dead supervisor hold its lock while they drain; that takes less than this."""

GATEWAY_DRAIN_S = 7.0
REST_DRAIN_S = 10.0
CONTROL_WAIT_S = 5.0
"""How long the control plane lets the workers of the last `up` go first: who answers requests needs the processor more than who decides."""

WATCHDOG_URL = "FLYBALL_WATCHDOG_URL"
"""The environment variable by which `flyball up` hands the setting on."""

_LISTEN_BACKLOG = 2048
_ONE_THREAD = {**ONE_THREAD, **SAME_HASHES, "POLARS_MAX_THREADS": "1"}
"""A worker predicts small batches: threads would only fight for the cores."""


def take_lock(path: Path, *, wait_s: float = LOCK_WAIT_S) -> int:
    """Lock the project for this process; return the lock's descriptor. Raises Conflict when another one has it, Refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as problem:
        raise Refused(
            f"{path.parent} cannot be written", why=os.strerror(problem.errno or 0), fix="run flyball up as a user who may write there"
        ) from None
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid, port = _holder(fd)
            if _alive(pid) or time.monotonic() > until:
                os.close(fd)
                raise _taken(pid, port) from None
            time.sleep(LOOK_S)
        else:
            return fd


def _taken(pid: int, port: int) -> Conflict:
    if _alive(pid):
        what, why = "flyball is already up for this project", f"process {pid} serves it on port {port}"
        fix = "use the one that runs, or stop it first (Ctrl-C where it was started)"
    else:
        what, why = "the project is in use", "processes of the last flyball up have not ended yet, or a backup is being restored into it"
        fix = "wait for it, then try again"
    return Conflict(what, why=why, fix=fix, code="already-up")


def _holder(fd: int) -> tuple[int, int]:
    words = os.pread(fd, 64, 0).decode("ascii", "replace").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else (0, 0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, bound once for all gateways. Raises Conflict naming the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not host or not host.isascii() or host.startswith("["):
        raise Conflict(f'"{host[:80]}" is no address', why="it is an IPv4 or IPv6 address, or a host's name", fix="--host 127.0.0.1")
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as problem:
        listener.close()
        if isinstance(problem, UnicodeError):
            what, why, fix = f'"{host[:80]}" is no address', str(problem), "choose another --host"
        elif problem.errno == errno.EADDRINUSE:
            what, why, fix = f"port {port} is in use", "another program listens there", f"choose another: flyball up --port {port + 1}"
        elif problem.errno == errno.EACCES:
            what, why, fix = f"port {port} may not be used", "ports below 1024 need rights", "choose another: flyball up --port 7117"
        else:
            what, why, fix = f"{host}:{port} cannot be bound", problem.strerror or str(problem), "choose another --host or --port"
        raise Conflict(what, why=why, fix=fix, code="port-in-use") from None
    listener.listen(_LISTEN_BACKLOG)
    return listener


class Relay:
    """Shows in this terminal what the control plane appends to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown = 0

    def look(self) -> None:
        """Show what is new."""
        with suppress(OSError), self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # shorter than before: it was begun anew
            file.seek(self._shown if size >= self._shown else 0)
            new = file.read()
            self._shown = file.tell()
            if new:
                sys.stderr.write(new.decode("utf-8", "replace"))
                sys.stderr.flush()


class Supervisor:
    """Starts, restarts and ends the processes of one project."""

    def __init__(
        self,
        project: Path,
        layout: Layout,
        listener: socket.socket,
        lock: int,
        *,
        gateways: int,
        control: Sequence[str],
        quiet: bool = False,
        watchdog: Limits | None = None,
    ) -> None:
        self._project = project
        self._layout = layout
        self._listener = listener
        self._host, self._port = str(listener.getsockname()[0]), int(listener.getsockname()[1])
        self._lock = lock
        self._life, self._breath = os.pipe()
        self._gateways = {f"g{number}": self._gateway(f"g{number}") for number in range(gateways)}
        self._control = [self._child("control", control)] if control else []
        self._control_at = time.monotonic() + CONTROL_WAIT_S
        self._watchdog = Watchdog(layout.beat, layout.watchdog, watchdog or Limits(), _told)
        self._workers: dict[str, Child] = {}
        self._leaving: list[Child | Spare] = []
        self._spare: Spare | None = None
        self._runs: object = None
        self._starting: dict[str, str] = {}
        self._seen_workers: object = None
        self._listed: dict[str, int] = {}
        self._signals: list[int] = []
        self._said = ""
        self._relay = None if quiet else Relay(self._layout.told)

    def run(self, up: Callable[[str, int], None]) -> int:
        """Keep everything running until SIGINT (130) or SIGTERM (0); `up` is called once, with address and port, when gateways answer."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: self._signals.append(received))
        # `flyball up` holds it back until somebody is here to take it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self._clean()
        told = False
        while not self._signals:
            refused = self._pass()
            if refused:
                self._say(f"the disk refuses: {'; '.join(refused)}; what runs goes on")
            if not told and all(self._layout.ack(name).exists() for name in self._gateways):
                told = True
                up(self._host, self._port)
            if told and self._relay is not None:
                self._relay.look()
                self._tell_ready()
            time.sleep(LOOK_S)
        self._end()
        if self._signals[0] != signal.SIGINT:
            return 0
        if not told:
            raise Interrupted("flyball up was interrupted", why="Ctrl-C came before it listened", fix="start it again: flyball up")
        return 130

    def _say(self, text: str) -> None:
        """Tell the operator, once as long as it stays the same."""
        if text != self._said:
            self._said = text
            with suppress(OSError):  # what it is told on may be the very disk that refuses
                print(text, file=sys.stderr, flush=True)

    def _tell_ready(self) -> None:
        """Say once of each worker that it takes requests: until then its model answers 503."""
        for name, ref in list(self._starting.items()):
            if self._layout.ready(name).exists():
                del self._starting[name]
                with suppress(OSError):
                    print(f"{time.strftime('%H:%M:%S')}  ready       {ref} takes requests", file=sys.stderr, flush=True)

    def _clean(self) -> None:
        """Remove what processes that are no more have said about themselves; their routes are kept, and nobody has said that these are all."""
        layout = self._layout
        layout.prepare()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {self._port}".encode(), 0)
        for stale in (
            *layout.run.glob("*.ack"),
            *(layout.run / "workers").iterdir(),
            *layout.metrics("x").parent.iterdir(),
            layout.told,
            layout.runs,
        ):
            stale.unlink(missing_ok=True)
        routes = read_json(layout.routes)
        if isinstance(routes, dict):
            write_json(layout.routes, routes | {"stamp": UNSAID})

    def _pass(self) -> list[str]:
        """One look at everything that shall be so; what the disk refused of it, which the next look tries again."""
        gateways = [child.keep for child in self._gateways.values()]
        refused = _tried([self._match_workers, self._match_spare, *gateways, self._list_gateways])
        others = (*self._workers.values(), *(self._control if self._serving_first() else ()))
        refused += _tried([child.keep for child in others])
        for control in self._control:
            if self._watchdog.look(control.pid):
                control.strike()
        self._leaving = [child for child in self._leaving if not child.ended()]
        return list(dict.fromkeys(refused))

    def _list_gateways(self) -> None:
        """Say who they are: a route is in force when exactly these have acknowledged it."""
        pids = {name: child.pid for name, child in self._gateways.items()}
        if pids != self._listed:
            write_json(self._layout.gateways, {"host": self._host, "port": self._port, "pid": os.getpid(), "gateways": pids})
            self._listed = pids

    def _serving_first(self) -> bool:
        """Whether the control plane may start: the workers that are listed are ready, or have had their time."""
        if time.monotonic() < self._control_at and all(self._layout.ready(name).exists() for name in self._workers):
            self._control_at = 0.0
        return time.monotonic() >= self._control_at

    def _match_workers(self) -> None:
        listed = read_json(self._layout.wanted_workers)
        if not isinstance(listed, list) or listed == self._seen_workers:
            return
        wanted = {worker_name(one["ref"], one["artifact"]): one for one in listed}
        for name in self._workers.keys() - wanted.keys():
            child = self._workers.pop(name)
            self._starting.pop(name, None)
            child.stop()
            self._leaving.append(child)
        for name in wanted.keys() - self._workers.keys():
            self._workers[name] = self._worker(name, wanted[name]["ref"], wanted[name]["artifact"])
        self._seen_workers = listed

    def _match_spare(self) -> None:
        """One warm worker as long as a run is under way: its version will want one. One for each run, whether it was needed or not."""
        runs = read_json(self._layout.runs)
        if runs == self._runs:
            return
        self._runs = runs
        if self._spare is not None:
            self._spare.drop()
            self._leaving.append(self._spare)
            self._spare = None
        if runs:
            self._spare = Spare(
                [*_python("flyball.serving.worker"), "--root", str(self._layout.root), "--pipe", "0"],
                cwd=self._project,
                output=self._layout.output("spare"),
                stdin=self._life,
                passed=(self._lock,),
                env={**os.environ, **_ONE_THREAD},
            )

    def _end(self) -> None:
        """Gateways first: they answer what is open while the workers still run. A second Ctrl-C ends it at once."""
        gateways = list(self._gateways.values())
        rest = [*self._control, *self._workers.values(), *self._leaving, *([self._spare] if self._spare else [])]
        self._stop_all(gateways, GATEWAY_DRAIN_S)
        self._listener.close()
        self._stop_all(rest, REST_DRAIN_S)
        os.close(self._breath)
        self._layout.gateways.unlink(missing_ok=True)

    def _stop_all(self, children: Iterable[Child | Spare], wait_s: float) -> None:
        children = list(children)
        for child in children:
            child.stop()
        until = time.monotonic() + wait_s
        while any(not child.ended() for child in children) and time.monotonic() < until and len(self._signals) < 2:
            time.sleep(0.02)
        for child in children:
            child.kill()

    def _child(
        self,
        name: str,
        argv: Sequence[str],
        *,
        passed: Sequence[int] = (),
        one_thread: bool = False,
        on_end: Callable[[str], None] | None = None,
        process: subprocess.Popen[bytes] | None = None,
    ) -> Child:
        return Child(
            name,
            argv,
            cwd=self._project,
            output=self._layout.output(name),
            stdin=self._life,
            passed=(self._lock, *passed),
            env={**os.environ, **_ONE_THREAD} if one_thread else dict(os.environ),
            on_end=on_end,
            process=process,
        )

    def _gateway(self, name: str) -> Child:
        listener = self._listener.fileno()
        argv = [*_python("flyball.serving.gateway"), "--root", str(self._layout.root), "--name", name, "--fd", str(listener), "--pipe", "0"]
        return self._child(name, argv, passed=(listener,))

    def _worker(self, name: str, ref: str, artifact: str) -> Child:
        layout = self._layout
        self._starting[name] = ref
        argv = [*_python("flyball.serving.worker"), "--root", str(layout.root), "--ref", ref, "--artifact", artifact]
        argv += ["--socket", str(layout.socket(name)), "--pipe", "0"]

        def ended(reason: str) -> None:
            self._starting[name] = ref
            if layout.ready(name).exists():
                layout.ready(name).unlink()
            elif not layout.failed(name).exists():
                write_json(layout.failed(name), {"reason": reason})

        told = {"ref": ref, "artifact": artifact, "socket": str(layout.socket(name))}
        spare, self._spare = self._spare, None
        return self._child(name, argv, one_thread=True, on_end=ended, process=spare.take(told) if spare is not None else None)


def _told(text: str) -> None:
    """Say it in the terminal, which may be on the very disk that refuses."""
    with suppress(OSError):
        print(f"{time.strftime('%H:%M:%S')}  watchdog    {text}", file=sys.stderr, flush=True)


def _tried(steps: Iterable[Callable[[], object]]) -> list[str]:
    """Take each step, whatever becomes of the others; what the disk refused."""
    refused = []
    for step in steps:
        try:
            step()
        except OSError as problem:
            refused.append(str(problem))
    return refused


def _python(module: str) -> list[str]:
    """-P: a project's own random.py must not stand in for the standard library's."""
    return [sys.executable, "-P", "-m", module]


def control_argv(text: str, project: Path) -> list[str]:
    """The control plane's command: `python` is this very interpreter, the project is named."""
    argv = shlex.split(text)
    if argv and argv[0] in ("python", "python3"):
        argv[0] = sys.executable
    return [*argv, "--root", str(project)] if argv and "--root" not in argv else argv


def supervise(
    project: Path,
    env: str,
    *,
    host: str,
    port: int,
    gateways: int,
    control: str,
    up: Callable[[str, int], None],
    quiet: bool = False,
    watchdog: Limits | None = None,
) -> int:
    """Run a project, in one of its environments, until told to stop, and tell what the loop does; the exit code.

    Raises Conflict (already up, being restored, port in use), Refused, Interrupted (before it listened).
    """
    layout = Layout(state_folder(project, env))
    lock = take_lock(layout.lock)
    try:
        require_whole(layout)
        listener = bind(host, port)
    except FlyballError:
        os.close(lock)
        raise
    argv = control_argv(control, project)
    return Supervisor(project, layout, listener, lock, gateways=gateways, control=argv, quiet=quiet, watchdog=watchdog).run(up)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="flyball.serving.supervisor")
    parser.add_argument("--root", type=Path, required=True, help="the project's folder")
    parser.add_argument("--env", default="", help="the environment; empty: the project's own")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7117)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--control", default="python -P -m flyball.api.control", help="the control plane's command; empty: none")
    parser.add_argument("--loop-silent", type=int, default=SILENT_S, help="seconds without a pass after which the loop is said to be dead")
    parser.add_argument("--loop-kill", type=int, default=KILL_S, help="seconds after which a control plane that hangs is killed; 0: never")
    parser.add_argument("--tell", choices=("text", "json", "nothing"), default="text", help="how to say where it listens")
    options = parser.parse_args(argv)
    # it may hold a secret: no list of processes shows it, and no worker has it
    limits = Limits(options.loop_silent, options.loop_kill, os.environ.pop(WATCHDOG_URL, ""))

    def up(address: str, port: int) -> None:
        url, others = url_of(options.host, port), reach(address, port)
        if options.tell == "json":
            print(json.dumps({"url": url, "port": port, "pid": os.getpid(), "others_reach_it": bool(others)}), flush=True)
        elif options.tell == "text":
            print(f"flyball is up on {url}   stop it with Ctrl-C" + (f"\n{others}" if others else ""), flush=True)

    def failed(error: FlyballError) -> int:
        if options.tell == "json":
            print(json.dumps(problem(error), ensure_ascii=False), flush=True)
        else:
            print(error, file=sys.stderr)
        return error.exit_code

    try:
        return supervise(
            options.root.resolve(),
            options.env,
            host=options.host,
            port=options.port,
            gateways=options.gateways,
            control=options.control,
            up=up,
            quiet=options.tell == "nothing",
            watchdog=limits,
        )
    except FlyballError as error:
        return failed(error)
    except OSError as error:
        why = f"{error.filename or options.root}: {error.strerror}"
        return failed(kind_of(error)("flyball cannot start", why=why, fix="make room on the disk, or let this user write there"))
    except KeyboardInterrupt:
        # before there was anything to end in order
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
