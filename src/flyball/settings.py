"""One table of settings: what each means, its unit, its default and why. Read once, at wiring; nothing else reads the environment.

A setting is written in `flyball.toml` under `[settings]`, or as `FLYBALL_<NAME>` in the environment, which wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from flyball.errors import BadInput


def _setting(default: int, *, meaning: str, unit: str, why: str) -> int:
    value: int = field(default=default, metadata={"meaning": meaning, "unit": unit, "why": why})
    return value


@dataclass(frozen=True)
class Settings:
    """Every setting of flyball, all whole numbers."""

    port: int = _setting(7117, meaning="where the gateways listen on 127.0.0.1", unit="port", why="unassigned, and easy to remember")
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


def read_settings(toml: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Merge the defaults, a project's `[settings]` and the environment. Raises BadInput on an unknown name or a value that is no number."""
    known = {item.name for item in fields(Settings)}
    given: dict[str, object] = dict(toml)
    unknown = sorted(set(given) - known)
    if unknown:
        raise BadInput(f'"{unknown[0]}" is not a setting', fix=f"settings: {', '.join(sorted(known))}")
    given |= {name: environment[f"FLYBALL_{name.upper()}"] for name in known if f"FLYBALL_{name.upper()}" in environment}
    values: dict[str, int] = {}
    for name, value in given.items():
        try:
            values[name] = int(str(value))
        except ValueError:
            raise BadInput(
                f'the setting "{name}" is "{value}"', why="settings are whole numbers", fix=f"write {name} = 50, for example"
            ) from None
    if values.get("detector", 1) not in (0, 1):
        raise BadInput(f'the setting "detector" is {values["detector"]}', why="it is on or off", fix="write detector = 1, or 0")
    return Settings(**values)
