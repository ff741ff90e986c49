"""The `flyball` command: a table of verbs, each in a module that is loaded when it is used, and one way to report errors.

Exit codes: 0 done; 1 refused or failed; 2 bad usage; 3 try again later; 130 interrupted.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from flyball.cli.document import DOCUMENT
from flyball.cli.hints import HINTS
from flyball.errors import BadInput, FlyballError, Interrupted, kind_of, problem

VERBS: dict[str, tuple[str, str]] = {
    "init": ("flyball.cli.init", "make a project that runs as it stands"),
    "check": ("flyball.cli.check", "every problem of a project in one pass"),
    "apply": ("flyball.cli.apply", "record the declarations, so that the loop acts on them"),
    "up": ("flyball.cli.up", "run all: gateways, workers, the loop"),
    "status": ("flyball.cli.status", "one line a model, and what is wrong"),
    "demo": ("flyball.cli.demo", "the story in a minute"),
    "train": ("flyball.cli.train", "make a run, and a version of it"),
    "runs": ("flyball.cli.runs", "runs: list, show, compare, cancel"),
    "models": ("flyball.cli.models", "versions: list, show, compare, card, note, deprecate, quarantine, judge, delete"),
    "approve": ("flyball.cli.approve", "a person's yes to a version"),
    "reject": ("flyball.cli.reject", "a person's no to a version"),
    "waive": ("flyball.cli.waive", "a gate that a version may pass by, until a time"),
    "release": ("flyball.cli.release", "start a version's rollout"),
    "rollback": ("flyball.cli.rollback", "back to the former champion"),
    "rollouts": ("flyball.cli.rollouts", "rollouts: list, show, pause, resume, abort"),
    "data": ("flyball.cli.data", "data sets: list, show, diff, infer; a person's rights: erase, export"),
    "lineage": ("flyball.cli.lineage", "what a thing was made of, and what was made of it"),
    "features": ("flyball.cli.features", "feature views: list, show, materialise; verify what was served"),
    "predict": ("flyball.cli.predict", "ask the gateway"),
    "label": ("flyball.cli.label", "send labels"),
    "monitor": ("flyball.cli.monitor", "what a model's monitors say, and what a drift is made of"),
    "incidents": ("flyball.cli.incidents", "incidents: list, show, open, ack, mitigated, fallback, review, resolve, mute, unmute"),
    "backtest": ("flyball.cli.backtest", "the loop over history, in virtual time"),
    "audit": ("flyball.cli.audit", "the record: verify, prove, consistency, export, rebuild"),
    "backup": ("flyball.cli.backup", "the project's state in a folder, while everything runs"),
    "restore": ("flyball.cli.restore", "a backup, in a new project"),
    "token": ("flyball.cli.token", "who may do what: create, list, revoke"),
    "gc": ("flyball.cli.gc", "remove what came to nothing, and nothing that is needed"),
    "tick": ("flyball.cli.tick", "one pass of the loop, for any scheduler"),
}
"""Verb → the module whose Typer app `app` it is, and its line in the help. In the order of the loop."""


def main(argv: Sequence[str] | None = None, *, heard: bool = False) -> None:
    """Run one verb and leave with its exit code. `heard`: Ctrl-C becomes KeyboardInterrupt from here on."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _main(arguments)
    except KeyboardInterrupt:
        code = _interrupted(arguments)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # all is said: a Ctrl-C while the interpreter puts itself away is no news
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _main(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal that cannot show "→" gets a question mark, not a traceback
            stream.reconfigure(errors="replace")
    try:
        code = run(argv)
        sys.stdout.flush()
    except OSError as error:
        # nobody reads our output any more, or it has no room: at its end the interpreter would say so in its way, with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        told = None if isinstance(error, BrokenPipeError) else system_error(error)
        code = 1 if told is None else told.exit_code
        if told is not None:
            report(told, as_json=False)
    return code


def run(argv: list[str]) -> int:
    """Run one verb; return its exit code. Nothing that a user can cause leaves as a traceback."""
    DOCUMENT.written = False
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] == "--version":
        from importlib.metadata import version

        print(f"flyball {version('flyball')}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        fix = f"did you mean {near[0]}?" if near else "options stand after the verb" if verb.startswith("-") else "see flyball --help"
        report(BadInput(f'"{verb[:80]}" is not a verb of flyball', fix=fix, code="usage"), as_json="--json" in argv)
        return 2
    try:
        return _call(verb, argv[1:])
    except KeyboardInterrupt:
        return _interrupted(argv)


def usage() -> str:
    """The help: every verb with its line."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {line}" for verb, (_, line) in VERBS.items()]
    head = "flyball keeps machine-learning models true in production.\n\nUsage: flyball VERB [MODEL[@VERSION]] [--project DIR] [--json]\n"
    return "\n".join([head, "Verbs:", *lines, "", "flyball VERB --help says more. Docs: docs/README.md"])


def _call(verb: str, rest: list[str]) -> int:
    import typer

    app = importlib.import_module(VERBS[verb][0]).app
    command = typer.main.get_command(app)
    if hasattr(command, "commands") and "list" in command.commands and rest[:1] not in (["--help"], ["-h"]):
        # `flyball incidents` shows them, as does `flyball incidents --json`
        rest = ["list", *rest] if not rest or rest[0].startswith("-") else rest
    as_json = "--json" in rest
    HINTS.note(rest)
    try:
        code: Any = command(args=rest, prog_name=f"flyball {verb}", standalone_mode=False)
    except typer.Abort:
        return _interrupted([verb, *rest])
    except typer.TyperException as error:
        return _usage_error(error, as_json=as_json)
    except FlyballError as error:
        report(error, as_json=as_json and not DOCUMENT.written)
        return error.exit_code
    except BrokenPipeError:
        # the reader of our output has gone (`flyball models | head`): nothing is left to tell it
        sys.stderr.close()
        return 1
    except OSError as error:
        told = system_error(error)
        report(told, as_json=as_json and not DOCUMENT.written)
        return told.exit_code
    if code == 130:
        # the parser has caught Ctrl-C, and gives its code back
        return _interrupted([verb, *rest])
    return code if isinstance(code, int) else 0


def _usage_error(error: Exception, *, as_json: bool) -> int:
    """Say what of the command line cannot be read, and how the verb is used. The type of what the parser raises is not exported."""
    told = str(getattr(error, "format_message", lambda: str(error))()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "flyball"
    used = " ".join(context.get_usage().removeprefix("Usage: ").split()) if context is not None else ""
    why = f"it is used so: {used}" if used else ""
    report(BadInput(told[:1].lower() + told[1:], why=why, fix=f"{path} --help says what there is", code="usage"), as_json=as_json)
    return 2


def _interrupted(argv: list[str]) -> int:
    """Say that Ctrl-C came; a verb whose document is out has nothing to add to it."""
    if "--json" in argv and not DOCUMENT.written:
        fix = "run it again; flyball status shows what was done until then"
        report(Interrupted(f"flyball {argv[0]} was interrupted", why="Ctrl-C came before it was done", fix=fix), as_json=True)
    else:
        print("interrupted", file=sys.stderr)
    return Interrupted.exit_code


_NO_ROOM = ("the disk is full", "make room, then try again")
_NO_RIGHT = ("this user has not the right to it", "give this user the right, or run it as the user who has it")
_READ_ONLY = ("the disk is read-only", "use a folder on a disk that can be written")
_SYSTEM = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: ("this user's share of the disk is used up", "make room, then try again"),
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.ENOTDIR: ("a file is where a folder should be", "name the folder"),
    errno.EMFILE: ("this process may open no more files", "raise the limit (ulimit -n), then try again"),
}


def system_error(error: OSError) -> FlyballError:
    """An error of the operating system, in our words."""
    where = f" ({error.filename})" if error.filename else ""
    why, fix = _SYSTEM.get(
        error.errno or 0, ("a full or read-only disk, missing rights, or a port or file in use", "make room or rights, then try again")
    )
    return kind_of(error)(f"the system said no: {error.strerror or error}{where}", why=why, fix=fix)


def report(error: FlyballError, *, as_json: bool) -> None:
    """Say what happened: one JSON document on stdout under --json, else text on stderr."""
    if as_json:
        told = problem(error)
        DOCUMENT.write(told | ({"fix": HINTS.told(str(told["fix"]))} if told.get("fix") else {}))
    else:
        from flyball.cli.screen import fitted

        head = "refused" if error.status == 403 else "error"
        print(fitted(HINTS.told(f"{head}  {_text(error)}"), sys.stderr), file=sys.stderr)


def _text(error: FlyballError) -> str:
    """An error as text; one whose only problem says the same is told as that problem."""
    if len(error.problems) == 1:
        [one] = error.problems
        if error.what.startswith(f"{one.where} {one.what}"):
            return str(one)
    return str(error)
