"""What every verb shares: options, opening the project, finding what a name means, and acting through commands."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli.output import Output
from flyball.clock import Instant, Span, instant
from flyball.errors import BadInput, Conflict
from flyball.loop.children import hear_interrupts
from flyball.records import codec
from flyball.records.base import Event, Receipt, Refusal, State
from flyball.records.commands import keyed_id
from flyball.records.models import ModelRef, parse_ref
from flyball.records.versions import VersionRow

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.loop.ports import CommandT, Decide
    from flyball.wiring import Wired

HERE = Path()
Project = Annotated[
    Path,
    typer.Option("--project", metavar="DIR", show_default=False, help="the project's folder, or one inside it; by default the present one"),
]


def _named(context: typer.Context, env: str) -> str:
    """An environment that was given has a name: a variable of a script that is not set must not mean this machine."""
    source = context.get_parameter_source("env")
    if not env and source is not None and source.name == "COMMANDLINE":
        raise BadArgument('--env ""', why="it names no environment", fix="name one, or leave --env out for the project's own")
    return env


Env = Annotated[
    str,
    typer.Option(
        "--env",
        metavar="NAME",
        show_default=False,
        callback=_named,
        help="one of the environments in flyball.toml; by default the project's own",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no notes and no progress on stderr")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; it is recorded")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show what would be recorded; record nothing")]
Key = Annotated[str, typer.Option("--idempotency-key", metavar="ID", help="the same id again is the same command, done once")]
Yes = Annotated[bool, typer.Option("--yes", help="ask nothing")]

LOOP_FRESH = 10_000_000
"""A loop that has not passed for this long (µs) is not counted as running."""


def app() -> typer.Typer:
    """An empty verb: plain help, no completion options of its own."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class BadArgument(BadInput):
    """An option's value is not of its form: the command line cannot be read, whatever the project holds."""

    code = "usage"
    exit_code = 2


@dataclass(frozen=True)
class Acting:
    """How a command is given."""

    reason: str = ""
    dry_run: bool = False
    key: str = ""


@contextmanager
def opened(project: Path, env: str = "") -> Iterator[Wired]:
    """The project that a folder is in, in one of its environments, closed afterwards whatever happens.

    Raises NotFound outside a project, or where it has no such environment.
    """
    from flyball.governance.authority import may_read
    from flyball.ledger.ledger import error_of
    from flyball.wiring import TOKEN_VARIABLE, open_project

    wired = open_project(project, env)
    try:
        if os.environ.get(TOKEN_VARIABLE):
            # with a token that is not taken, nothing is shown either
            refused = may_read(wired.caller)
            if refused is not None:
                raise error_of(refused)
        yield wired
    finally:
        wired.close()


def is_up(wired: Wired) -> bool:
    """Whether a supervisor, or what is left of one, holds the project."""
    try:
        lock = os.open(wired.layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def may_see(wired: Wired, model: str) -> bool:
    """Whether a token that was given is for this model. Who gives none, and can read the project, sees all of it."""
    from flyball.wiring import TOKEN_VARIABLE

    return not os.environ.get(TOKEN_VARIABLE) or wired.caller.covers(model)


def may_see_data(wired: Wired, state: State) -> Callable[[str], bool]:
    """Whether a token that was given is for a data set, by its name."""
    from flyball.loop import lookup
    from flyball.wiring import TOKEN_VARIABLE

    return lookup.datasets_of(wired.caller, wired.ports.library, state) if os.environ.get(TOKEN_VARIABLE) else lambda _name: True


def seen(wired: Wired) -> Callable[[str], bool] | None:
    """Which models a token that was given is for; None: all of them, and whatever is of no model."""
    from flyball.wiring import TOKEN_VARIABLE

    return wired.caller.covers if os.environ.get(TOKEN_VARIABLE) and not wired.caller.is_for_all else None


def must_see(wired: Wired, model: str) -> None:
    """Raise Refused where a token that was given is not for this model."""
    from flyball.governance.authority import not_for
    from flyball.ledger.ledger import error_of

    if not may_see(wired, model) and (refused := not_for(wired.caller, model)) is not None:
        raise error_of(refused)


def may_read_record(wired: Wired) -> Refusal | None:
    """Why a token that was given may not read the record itself, which is of all models."""
    from flyball.governance import authority
    from flyball.wiring import TOKEN_VARIABLE

    return authority.may_read_record(wired.caller) if os.environ.get(TOKEN_VARIABLE) else None


def must_read_record(wired: Wired) -> None:
    """Raise Refused where a token was given that may not read the record itself."""
    from flyball.ledger.ledger import error_of

    refused = may_read_record(wired)
    if refused is not None:
        raise error_of(refused)


def framing_of(wired: Wired, name: str) -> str:
    """What a model is for, in a line; empty where its declaration cannot be read now."""
    from flyball.declare.framing import summary
    from flyball.loop import lookup
    from flyball.records.declarations import DECLARATIONS

    row = wired.ports.ledger.state().get(DECLARATIONS, name)
    model = lookup.readable(wired.ports.library, row)[0] if row is not None else None
    return summary(model.framing) if model is not None else ""


def declared(wired: Wired, name: str) -> Model:
    """The declaration in effect of a model. Raises NotFound with a near name, Refused (a token for other models)."""
    from flyball.loop import lookup

    must_see(wired, name)
    return lookup.declared(wired.ports, name)


def reference(text: str) -> ModelRef:
    """What `model[@version]` names. Raises BadInput, also for an @ with nothing after it: a version was meant."""
    ref = parse_ref(text)
    if text.endswith("@"):
        raise BadInput(f'"{text}" names no version', why="nothing stands after the @", fix=f"write {ref.model}@1.0.0, or {ref.model} alone")
    return ref


def find_reference(wired: Wired, text: str) -> VersionRow:
    """The version that `model[@version]` means; the model must be declared. Raises BadInput, NotFound, Refused."""
    from flyball.loop import lookup

    name = text.partition("@")[0]
    if may_see(wired, name):
        # its versions are called as those who serve it call them
        lookup.must_be_made(wired.ports, wired.ports.ledger.state(), name)
    ref = reference(text)
    declared(wired, ref.model)
    return lookup.version(wired.ports.ledger.state(), ref)


def model_name(text: str) -> str:
    """A model's name where a version means nothing. Raises BadInput."""
    ref = reference(text)
    if ref.version:
        raise BadInput(f"{text} names a version", why="this verb is about a model", fix=f"write {ref.model}")
    return ref.model


def command_id(wired: Wired, acting: Acting, order: str) -> str:
    """The id of the command to be given. `order`: what is asked for, without its reason; the same key with another order is refused."""
    if len(acting.key) > 200:
        raise BadArgument("the idempotency key is too long", why="200 characters at most", fix="choose a shorter one")
    return keyed_id(acting.key, order) if acting.key else wired.ports.clock.new_id("cmd")


def act(wired: Wired, out: Output, command: CommandT, decide: Decide[CommandT], acting: Acting) -> Receipt | None:
    """Give a command; None for a dry run, whose events were shown. A refusal is raised as its error."""
    if not acting.dry_run:
        return wired.ports.ledger.execute(command, decide)
    from flyball.loop.authority import permit

    permit(wired.caller, command, wired.ports.ledger.state)
    outcome = decide(wired.ports.ledger.state(), command, wired.ports.clock.now())
    if isinstance(outcome, Refusal):
        from flyball.ledger.ledger import error_of

        raise error_of(outcome)
    show_events(out, outcome)
    return None


def must_say(option: str, text: str, what: str, *, why: str = "it is recorded under your name", example: str = "…") -> None:
    """Raise BadArgument where an option that a verb cannot do without is left out, or blank. `what`: "a waiver needs a reason"."""
    if not text.strip():
        raise BadArgument(what, why=why, fix=f'{option} "{example}"')


@contextmanager
def reading_options() -> Iterator[None]:
    """Where the values of options are read by rules that other faces share: what is not of its form is bad usage here. Raises BadArgument."""
    try:
        yield
    except BadInput as error:
        raise BadArgument(error.what, why=error.why, fix=error.fix, problems=error.problems) from None


def not_both(first: str, second: str, *, both: bool) -> None:
    """Raise BadArgument where two options were given that say the opposite of each other."""
    if both:
        raise BadArgument(f"{first} and {second} contradict each other", why="either may be meant", fix="leave one of them out")


def span(option: str, text: str, *, example: str = "90d") -> Span:
    """The span of time that an option is given, 0 or longer. Raises BadArgument."""
    try:
        found = Span.parse(text)
    except ValueError as error:
        # a number alone is most often meant as days
        meant = f"{text.strip()}d" if text.strip().isdecimal() else example
        raise BadArgument(f'{option} "{text}"', why=str(error), fix=f"{option} {meant}") from None
    if found < 0:
        raise BadArgument(f'{option} "{text}"', why="it is less than no time", fix=f"{option} {text.strip().lstrip('-')}")
    return found


def moment(option: str, text: str) -> Instant:
    """The moment that an option is given, as RFC 3339. Raises BadArgument."""
    try:
        return instant(text)
    except (ValueError, OverflowError):
        raise BadArgument(f'{option} "{text}"', why="it is no moment in RFC 3339", fix=f"{option} 2026-01-31T12:00:00Z") from None


def show_events(out: Output, events: Sequence[Event]) -> None:
    """What a dry run would record."""
    for event in events:
        values = {name: value for name, value in codec.plain(event).items() if name != "kind" and value not in ("", None, [], (), {})}
        out.line(f"would record  {event.kind:<22}{'  '.join(f'{name}={_short(value)}' for name, value in values.items())}")
    if not events:
        out.line("would record  nothing: it is so already")
    out.document({"dry_run": True, "events": [codec.plain(event) for event in events]})


def _short(value: Any) -> str:
    text = _read(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _read(value: Any) -> str:
    """A value as people read it: `viewer, operator`, `km: 812`, `yes`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_read(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_read(each) for each in value)
    return str(value)


def sure(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; elsewhere, and with --yes, the answer is yes: a script said what it wants."""
    if yes or not sys.stdin.isatty():
        return True
    hear_interrupts()
    return typer.confirm(question, err=True)


def loop_age(wired: Wired, now: Instant) -> int | None:
    """µs since the loop's last pass; None if it has never run here."""
    return wired.layout.loop_age(now)


def empty_folder(folder: Path) -> None:
    """Make sure that a folder to be written is new or empty. Raises BadInput, Conflict."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file", why="several files are written into a folder", fix="name a new or empty folder")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", why="nothing is overwritten", fix="name a new or empty folder", code="not-empty")
