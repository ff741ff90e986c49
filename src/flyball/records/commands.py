"""The ids of commands."""

from __future__ import annotations

import hashlib


def keyed_id(key: str, order: str) -> str:
    """The id of a command that is given under a key of its author's choice: `KEY/` and 16 digits that tell what was ordered.

    The same key with the same order is the same command; with another order it is a mistake, which the ledger refuses.
    """
    return f"{key}/{hashlib.sha256(order.encode('utf-8', 'replace')).hexdigest()[:16]}"


def key_of(command: str) -> str:
    """The key in a command's id; empty for an id without one."""
    return command.rpartition("/")[0]
