"""Routes: where people are told of incidents, as `[routes]` of flyball.toml declares them. A secret is named here, and never held."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from flyball.declare.units import near
from flyball.errors import BadInput, DeclarationError, Problem
from flyball.records.models import valid_name

TABLE: Final = "[routes]"
"""Where flyball.toml declares routes, unless an environment has some of its own."""

_WORDS: Final = ("default", "link")
"""What the table of all routes says of them together; no route can be called so."""

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_ADDRESS = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
_HERE: Final = ("localhost", "127.0.0.1", "::1")

_ADDRESSED: Final = ("pagerduty", "slack")
"""Kinds whose requests hold a key, or whose address is one."""


@dataclass(frozen=True)
class Kind:
    """What a kind of route takes, and what it cannot do without. `secret` says what the secret is."""

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    secret: str
    url: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "pagerduty": Kind(("secret",), ("url", "signing"), "the integration key of Events API v2", PAGERDUTY_URL),
        "alertmanager": Kind(("url",), ("secret",), "a bearer token"),
        "slack": Kind((), ("url", "secret"), "the address of the incoming webhook"),
        "webhook": Kind(("url", "secret"), (), "the key that signs"),
        "email": Kind(("host", "from", "to"), ("port", "starttls", "user", "secret"), "the password of `user`"),
        "apprise": Kind(("secret",), (), "an address of apprise"),
    }
)
"""Every kind of route."""


@dataclass(frozen=True)
class Route:
    """One route. `secret` and `signing` are names of secrets: `signing` is what PagerDuty signs its own requests with; `to` are mail addresses."""

    name: str
    kind: str
    url: str = ""
    secret: str = ""
    signing: str = ""
    host: str = ""
    port: int = 587
    sender: str = ""
    to: tuple[str, ...] = ()
    starttls: bool = True
    user: str = ""

    @property
    def inbound(self) -> str:
        """The name of the secret by which requests from there are known; empty where none are taken."""
        return {"webhook": self.secret, "pagerduty": self.signing}.get(self.kind, "")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of every secret that it uses."""
        return tuple(filter(None, (self.secret, self.signing)))


@dataclass(frozen=True)
class Routes:
    """The routes of a project, or of one of its environments. `default` is where goes what names none; `link` begins the addresses in messages."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    default: str = ""
    link: str = ""

    def of(self, named: str) -> str:
        """The route that a playbook's `route=` means (`kind:name`, or a name); empty: none. Where it is not declared somebody is told all the same."""
        wanted = named.rpartition(":")[2]
        return wanted if wanted in self.routes else self.default

    def unknown(self, named: str) -> str:
        """Why what a playbook names is no route here; empty where it is one, or names none."""
        if not named:
            return ""
        kind, _, name = named.rpartition(":")
        found = self.routes.get(name)
        if found is None:
            return f"no route {name!r} is declared in flyball.toml".replace("'", '"')
        return f'the route "{name}" is of kind {found.kind}, not {kind}' if kind and kind != found.kind else ""

    def near(self, named: str) -> str:
        """The text of a fix: which route was probably meant."""
        name = named.rpartition(":")[2]
        return f"routes: {near(name, self.routes)}" if self.routes else f'write [routes.{name}] in flyball.toml, and kind = "…" below it'


def read_routes(shared: Any, own: Any = None, env: str = "") -> Routes:
    """The routes that flyball.toml declares: those of the project, and over them, name by name, those of an environment.

    Raises DeclarationError with every problem at once.
    """
    problems: list[Problem] = []
    given: dict[str, tuple[str, Any]] = {}
    for where, table in ((TABLE, shared), (f"[env.{env}.routes]", own)):
        if table is None:
            continue
        if not isinstance(table, Mapping):
            problems.append(
                Problem(where, "it is no table", "routes are declared below it", 'write [routes.NAME], and kind = "pagerduty" below it')
            )
            continue
        given |= {name: (f"{where[:-1]}.{name}]" if name not in _WORDS else where, value) for name, value in table.items()}
    routes: dict[str, Route] = {}
    for name, (where, value) in given.items():
        if name not in _WORDS:
            found = list(_problems(name, value, where))
            problems += found
            routes |= {} if found else {name: _route(name, value)}
    default = _default(given, routes, problems)
    link = _link(given, problems)
    if problems:
        many = f"{len(problems)} things are wrong with" if len(problems) > 1 else "something is wrong with"
        raise DeclarationError(
            f"{many} the routes in flyball.toml", fix="docs/alerts.md says what each kind takes", problems=tuple(problems)
        )
    return Routes(MappingProxyType(routes), default, link)


def _default(given: Mapping[str, tuple[str, Any]], routes: Mapping[str, Route], problems: list[Problem]) -> str:
    where, value = given.get("default", (TABLE, ""))
    names = [name for name in given if name not in _WORDS]
    if value and value not in names:
        fix = f"routes: {near(str(value), names)}" if names else f"declare it: [routes.{str(value)[:64]}]"
        problems.append(Problem(where, f'default names "{str(value)[:64]}", which is no route', "what names no route goes there", fix))
        return ""
    return str(value) if value in routes else ""


def _link(given: Mapping[str, tuple[str, Any]], problems: list[Problem]) -> str:
    where, value = given.get("link", (TABLE, ""))
    wrong = _address(value) if value else ""
    if wrong:
        problems.append(Problem(where, f"link {wrong}", "it begins the addresses in messages", 'link = "https://flyball.example.com"'))
        return ""
    return str(value).rstrip("/")


def _problems(name: str, value: Any, where: str) -> Iterator[Problem]:
    """What is wrong with one route."""
    try:
        valid_name(name, "route")
    except BadInput as error:
        yield Problem(where[:80], error.what, error.why, error.fix)
    if not isinstance(value, Mapping):
        yield Problem(where, "it is no table", "a route says what kind it is", 'kind = "pagerduty"')
        return
    kind = value.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        what = f'there is no kind "{str(kind)[:40]}"' if kind else "it says no kind"
        yield Problem(where, what, "the kind says how a message is sent", f"kinds: {near(str(kind or ''), KINDS)}")
        return
    takes = (*known.needs, *known.takes)
    for key in value:
        if key != "kind" and key not in takes:
            yield Problem(where, f'{kind} takes no "{str(key)[:40]}"', "", f"it takes: {near(str(key), takes)}")
    for key in known.needs:
        if key not in value:
            why = f"it is the name of a secret: {known.secret}" if key == "secret" else ""
            yield Problem(where, f'{kind} needs "{key}"', why, f"{key} = {_EXAMPLES[key]}")
    if kind == "slack" and "url" not in value and "secret" not in value:
        yield Problem(where, "it says no address", f"`secret` names the secret that is {known.secret}", 'secret = "SLACK_URL"')
    yield from _fields(value, where)


_EXAMPLES: Final = {
    "url": '"https://…"',
    "secret": '"PD_RISK_KEY"',
    "signing": '"PD_SIGNING_KEY"',
    "host": '"mail.example.com"',
    "port": "587",
    "from": '"flyball@example.com"',
    "to": '["risk@example.com"]',
    "starttls": "true",
    "user": '"flyball"',
}


def _fields(value: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """What is wrong with the values of a route's fields."""
    for key in ("secret", "signing"):
        if key in value and not (isinstance(value[key], str) and _NAME.fullmatch(value[key])):
            # what stands there may be the secret itself, and is not shown
            why = "it is the name of an environment variable, or of a file of the secrets folder, that holds it: never the value itself"
            yield Problem(where, f"{key} is no name of a secret", why, f"{key} = {_EXAMPLES[key]}")
    if "url" in value and (wrong := _address(value["url"])):
        yield Problem(where, f"url {wrong}", "", f"url = {_EXAMPLES['url']}")
    elif in_the_clear(value.get("url", "")) and (
        value.get("kind") in _ADDRESSED or (value.get("kind") == "alertmanager" and "secret" in value)
    ):
        why = "the key, the token or the address that is one would go over the network as plain text"
        yield Problem(where, "url is not encrypted", why, f"url = {_EXAMPLES['url']}")
    for key in ("host", "user"):
        if key in value and not (isinstance(value[key], str) and value[key].strip() and value[key].isprintable()):
            yield Problem(where, f"{key} is no text", "", f"{key} = {_EXAMPLES[key]}")
    if "port" in value and not (type(value["port"]) is int and 0 < value["port"] < 65_536):
        yield Problem(where, "port is no port", "it is a whole number below 65,536", "port = 587")
    if "from" in value and not _is_mail(value["from"]):
        yield Problem(where, "from is no mail address", "", f"from = {_EXAMPLES['from']}")
    if "to" in value and not all(map(_is_mail, _listed(value["to"]) or [""])):
        yield Problem(where, "to is no mail address, or list of them", "", f"to = {_EXAMPLES['to']}")
    if "starttls" in value and not isinstance(value["starttls"], bool):
        yield Problem(where, "starttls is neither true nor false", "", "starttls = true")
    if value.get("user") and value.get("starttls") is False and value.get("host") not in _HERE:
        yield Problem(where, "user without starttls", "the password would go over the network as plain text", "starttls = true")
    if ("user" in value) != ("secret" in value) and value.get("kind") == "email":
        yield Problem(where, "user and secret belong together", "`secret` names the password of `user`", "write both, or neither")


def _route(name: str, value: Mapping[str, Any]) -> Route:
    kind = str(value["kind"])
    return Route(
        name=name,
        kind=kind,
        url=str(value.get("url", KINDS[kind].url)),
        secret=str(value.get("secret", "")),
        signing=str(value.get("signing", "")),
        host=str(value.get("host", "")),
        port=int(value.get("port", 587)),
        sender=str(value.get("from", "")),
        to=tuple(map(str, _listed(value.get("to", ())))),
        starttls=bool(value.get("starttls", True)),
        user=str(value.get("user", "")),
    )


def _address(value: Any) -> str:
    """What is wrong with an address; empty: nothing. What it holds is not told: it may be secret."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return "is no HTTP address"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return "is no HTTP address"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is no HTTP address"
    return "holds a password: name it as the secret" if parts.password or parts.username else ""


def in_the_clear(url: str) -> bool:
    """Whether what is sent to an address can be read on the way: it is not encrypted, and not of this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _HERE


def _is_mail(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(_ADDRESS.fullmatch(value))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
