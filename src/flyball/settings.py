"""One table of settings: what each means, its unit, its default and why. Read once, at wiring; nothing else reads the environment.

A setting is written in `flyball.toml` under `[settings]`, or as `FLYBALL_<NAME>` in the environment, which wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from flyball.errors import DeclarationError

ValueT = TypeVar("ValueT", int, str)

PREFIX = "FLYBALL_"
_TOKEN = f"{PREFIX}TOKEN"
"""A variable of this prefix that is read elsewhere and is no setting: the secret of a token."""

_OF_OUR_TESTS = "FLYBALL_TEST_DATA"

_LINK = re.compile(
    rf"{PREFIX}(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)=.*"
    rf"|{PREFIX}(?:\w+_)?PORT=(?:tcp|udp|sctp)://.*",
    re.DOTALL,
)
"""What Kubernetes puts into every container about a service whose name begins with `flyball`."""


def _setting(default: ValueT, *, meaning: str, unit: str, why: str) -> ValueT:
    value: ValueT = field(default=default, metadata={"meaning": meaning, "unit": unit, "why": why})
    return value


@dataclass(frozen=True)
class Settings:
    """Every setting of flyball: whole numbers and texts."""

    host: str = _setting(
        "127.0.0.1",
        meaning="the address on which the gateways listen",
        unit="address",
        why="nobody else can reach it; another one is refused until there is a token",
    )
    port: int = _setting(7117, meaning="the port on which the gateways listen", unit="port", why="unassigned, and easy to remember")
    gateways: int = _setting(
        2, meaning="gateway processes that share the socket", unit="processes", why="one may die or restart and requests are still answered"
    )
    tick_ms: int = _setting(
        1000,
        meaning="how often the loop looks when nothing nudges it",
        unit="ms",
        why="evidence arrives by the second; decisions never wait longer",
    )
    poll_ms: int = _setting(
        50, meaning="how often the control plane looks for new commands", unit="ms", why="a rollback must be in force within a second"
    )
    detector: int = _setting(
        1,
        meaning="whether the loss of labelled rows is watched by the sequential detector (0: nobody looks, and `status` says so)",
        unit="0 or 1",
        why="a model whose loss nobody watches degrades unseen; 0 shows what the rest of the loop is worth alone",
    )
    database_url: str = _setting(
        "",
        meaning="where the ledger is: `sqlite:///path`, or `postgresql://user:password@host/name`",
        unit="url",
        why="empty is `.flyball/ledger.db`: nothing has to be installed or run beside flyball",
    )
    online_url: str = _setting(
        "",
        meaning="where values of feature views are for serving: `sqlite:///path`, or `postgresql://user:password@host/name`",
        unit="url",
        why="empty is `.flyball/online.sqlite3`; what is there can always be made again from data set versions",
    )
    checkpoint_events: int = _setting(
        100,
        meaning="new events after which the loop signs a checkpoint",
        unit="events",
        why="a proof then covers the last few minutes of a busy day",
    )
    checkpoint_s: int = _setting(
        300,
        meaning="how old the newest event without a checkpoint may get",
        unit="s",
        why="on a quiet day too, what happened can be proven within five minutes",
    )
    verify_s: int = _setting(
        300,
        meaning="how often the loop verifies a sample of the feature values that were served (0: never, `features verify` alone does)",
        unit="s",
        why="a feature that is computed otherwise than in training is found within minutes, for seconds of work an hour",
    )
    estimate: int = _setting(
        1,
        meaning="whether the performance of champions is estimated without labels, once a day (0: it is not, and no classifier looks at their rows)",
        unit="0 or 1",
        why="where labels take weeks, it is the one early hint there is, for some seconds of CPU time a model and day",
    )
    trials_at_once: int = _setting(
        1,
        meaning="how many trials of a search a run makes at once: of several each in a process of its own with one thread, one in the run's own (0: as 1)",
        unit="processes",
        why="the other processors are for what serves; more make a search shorter and outlive a trial that ends its process, and find no other result",
    )
    cpu_watts: int = _setting(
        10,
        meaning="what a busy processor takes, by which the energy of a run is estimated from its CPU time",
        unit="W",
        why="about a core's share of a server's power under load; what the machine is measured to take is better",
    )
    cpu_hour_price: str = _setting(
        "",
        meaning='the price of an hour of CPU time, such as "0.04 EUR": by it runs cost money',
        unit="money",
        why="empty is not known, and so is then what runs cost: never 0",
    )
    run_retention_d: int = _setting(
        90,
        meaning="how long what a run left is kept where no version came of it, or one that was rejected",
        unit="days",
        why="long enough to ask why a run was rejected; a quarter's failures need no room for ever",
    )
    reread_s: int = _setting(
        300,
        meaning="how often a query or a function is read again whose data set declares no `freshness` (with it: after half of that)",
        unit="s",
        why="only reading tells whether it has changed, and somebody else's database has other work",
    )
    read_timeout_s: int = _setting(
        600,
        meaning="how long a loop file's function may take to give the rows of a data set",
        unit="s",
        why="one that waits for something that never comes is ended and said to be refused",
    )
    own_environments: int = _setting(
        0,
        meaning="whether each version's worker runs in an environment that uv makes from its lock (1), or in flyball's own",
        unit="0 or 1",
        why="it needs uv and a registry, minutes the first time, and a disk that holds one environment for each lock",
    )
    loop_silent_s: int = _setting(
        60,
        meaning="how long the loop may make no pass before `flyball up` says that it is dead, and the next loop records an incident",
        unit="s",
        why="a pass takes well under a second, and a long one some seconds; within a minute somebody knows",
    )
    loop_kill_s: int = _setting(
        300,
        meaning="how long a control plane that has made passes may make none before it is killed and started again (0: never); twice as long each time",
        unit="s",
        why="what hangs does not come back by itself, and an incident is to be mitigated within five minutes",
    )
    watchdog_url: str = _setting(
        "",
        meaning="an HTTP address that `flyball up` tells when the loop is dead, and when it is back",
        unit="url",
        why="empty is nobody: who is to hear of it when flyball itself cannot page, only you can say",
    )
    otlp_url: str = _setting(
        "",
        meaning="an HTTP address of an OpenTelemetry collector (OTLP), to which gateways and workers send the spans of requests",
        unit="url",
        why="empty is none, and costs nothing; it takes `pip install 'flyball[otel]'`",
    )
    anchor_file: str = _setting(
        "",
        meaning="a file on another disk or machine to which every checkpoint is appended",
        unit="path",
        why="empty is none: where to keep it, only you can say; without an anchor, a cut-off end cannot be seen",
    )
    anchor_url: str = _setting(
        "",
        meaning="an HTTP address to which every checkpoint is posted",
        unit="url",
        why="empty is none, as for `anchor_file`",
    )


def read_settings(toml: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Merge the defaults, a project's `[settings]` and the environment. Raises DeclarationError on an unknown name, or a value that it cannot have."""
    known = {item.name: item for item in fields(Settings)}
    unknown = sorted(set(toml) - set(known))
    if unknown:
        raise DeclarationError(f'"{unknown[0]}" is not a setting', why="flyball.toml names it", fix=f"settings: {', '.join(sorted(known))}")
    variables = {f"{PREFIX}{name.upper()}": name for name in known}
    environment = {name: value for name, value in environment.items() if name.startswith(PREFIX) and not _LINK.fullmatch(f"{name}={value}")}
    for variable in sorted(environment):
        if variable not in (*variables, _TOKEN, _OF_OUR_TESTS):
            raise _no_setting(variable, [*variables, _TOKEN])
    given: dict[str, tuple[str, object]] = {name: (name, value) for name, value in toml.items()}
    for variable, name in variables.items():
        if variable in environment:
            given[name] = (variable, environment[variable])
    return Settings(**{name: _value(origin, value, known[name]) for name, (origin, value) in given.items()})


def _no_setting(variable: str, known: list[str]) -> DeclarationError:
    from difflib import get_close_matches

    # what they all have in common makes none of them alike
    near = get_close_matches(variable.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known], n=1)
    fix = f"did you mean {PREFIX}{near[0]}?" if near else f"unset it; settings: {', '.join(sorted(known))}"
    return DeclarationError(f"{variable} is not a setting", why="the environment has it, and nothing would read it", fix=fix)


def _value(origin: str, value: object, item: Field[Any]) -> Any:
    """The value of a setting, which `origin` (a name in flyball.toml, or a variable) gives."""
    return _text(origin, value, item) if isinstance(item.default, str) else _number(origin, value, item)


def _text(origin: str, value: object, item: Field[Any]) -> str:
    if isinstance(value, str) and (text := value.strip()).isprintable():
        return text
    unit = item.metadata["unit"]
    # an address may hold a password
    shown = "one that cannot be read" if unit == "url" else repr(value)
    raise DeclarationError(
        f"the setting {origin} is {shown}", why=f"it is a printable text: {unit}", fix=f'write {origin} = "{item.default or "…"}"'
    )


def _number(origin: str, value: object, item: Field[Any]) -> int:
    switch = item.metadata["unit"] == "0 or 1"
    try:
        found = int(str(value))
    except ValueError:
        found = None
    if found is None or found < 0 or (switch and found > 1):
        why = "it is on (1) or off (0)" if switch else f"it is a whole number: {item.metadata['unit']}"
        raise DeclarationError(f'the setting {origin} is "{value}"', why=why, fix=f"write {origin} = {item.default}")
    return found
