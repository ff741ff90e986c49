"""What two environments must not share: a record and an online store, however their addresses are written. What they cannot share: a port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flyball.declare.project import MARK, every_settings
from flyball.errors import DeclarationError, FlyballError, Problem
from flyball.serving.layout import state_folder
from flyball.settings import Settings, read_settings
from flyball.store.online_address import FILE
from flyball.store.sql import place


def record_of(root: Path, env: str, settings: Settings) -> str | Path:
    """The address of an environment's record."""
    return settings.database_url or state_folder(root, env) / "ledger.db"


def keep_apart(root: Path, env: str, settings: Settings) -> None:
    """Raise DeclarationError where an environment has the record or the online store of another one. `settings`: as they hold here, variables too.

    Of the others, flyball knows what flyball.toml says; what is wrong with those is theirs to tell.
    """
    own = _places(root, env, settings)
    for other, table in every_settings(root).items():
        theirs = {}
        with suppress(FlyballError):
            theirs = _places(root, other, read_settings(table, {})) if other != env else {}
        for key in (key for key in theirs if theirs[key] == own[key]):
            raise DeclarationError(
                f"{_called(env)} and {_called(other)} have the same {key}",
                why=f"both come to {own[key].partition(' ')[2]}; each keeps a record of its own of what was decided and what is served",
                fix=f'write another one under {_table(env)}: {key} = "…"; where FLYBALL_{key.upper()} names it, another one there',
            )


def _places(root: Path, env: str, settings: Settings) -> dict[str, str]:
    """Setting → what it comes to."""
    folder = state_folder(root, env)
    online = settings.online_url or (folder / FILE).absolute()
    return {"database_url": _place(record_of(root, env, settings), root), "online_url": _place(online, root)}


def _place(url: str | Path, base: Path) -> str:
    try:
        return place(url, base=base)
    except FlyballError:
        # whoever opens it says what is wrong with it
        return f"? {url}"


def _called(env: str) -> str:
    return f"[env.{env}]" if env else "the project's own environment"


def _table(env: str) -> str:
    return f"[env.{env}]" if env else "[settings]"


def shared_ports(root: Path) -> Iterator[Problem]:
    """The environments that are to listen on one address and port, as flyball.toml says: on one machine, the second does not start."""
    seen: dict[tuple[str, int], str] = {}
    for env, table in every_settings(root).items():
        if not env or "port" not in table:
            continue
        settings = read_settings(table, {})
        key = (settings.host, settings.port)
        if key in seen:
            yield Problem(
                MARK,
                f"{_called(seen[key])} and {_called(env)} have the same port: {settings.port}",
                why="on one machine the second that starts finds it taken",
                fix=f"write another one under {_table(env)}: port = {settings.port + 1}",
            )
        seen.setdefault(key, env)
