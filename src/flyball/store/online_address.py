"""Which online store an address means. Backends are imported when one is named: workers open theirs, and start fast without a server's driver."""

from __future__ import annotations

from pathlib import Path

from flyball.errors import BadInput
from flyball.store.online import OnlineStore

FILE = "online.sqlite3"
"""The default store's file in `.flyball`."""


def open_online(url: str, folder: Path, project: Path | None = None) -> OnlineStore:
    """The store at `url`; empty: a SQLite file in `folder`, where the state of the project, or of one of its environments, is. Connects when it is first used.

    A relative path of SQLite is relative to `project` (left out: the folder that `folder` lies in). Raises BadInput for an address of no known kind.
    """
    scheme = url.partition("://")[0].partition("+")[0] if "://" in url else ""
    if scheme in {"postgresql", "postgres"}:
        return _postgres(url)
    if not url or scheme == "sqlite":
        from flyball.store.online_sqlite import SqliteOnline

        named = url.partition("://")[2].removeprefix("/")
        return SqliteOnline((project or folder.parent) / named if named else folder / FILE)
    raise BadInput(
        f'"{url.rpartition("@")[2][:120]}" is not the address of an online store',
        why="files of SQLite and databases of PostgreSQL are known",
        fix='write online_url = "postgresql://user:password@host/name", "sqlite:///path", or leave it empty',
    )


def _postgres(url: str) -> OnlineStore:
    try:
        from flyball.store.online_postgres import PostgresOnline
    except ImportError as error:
        raise BadInput(
            "the online store is in PostgreSQL, and its driver is not installed",
            why=str(error),
            fix="pip install 'flyball[postgres]', or leave online_url empty",
        ) from error
    return PostgresOnline(url)
