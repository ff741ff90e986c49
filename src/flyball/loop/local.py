"""The local user's token: a file that only they can read. Whoever can read it is that user, and nobody types a password.

It is made when it is first needed. It is never sent anywhere but to flyball on this machine, and never printed.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from flyball.clock import Clock
from flyball.errors import Refused, kind_of
from flyball.governance.authority import BITS, LOOP, Caller, actor_of, authenticate, is_secret, secret_of
from flyball.ledger.ledger import error_of
from flyball.loop.authority import Authorised
from flyball.loop.ports import Ledger
from flyball.loop.tokens import GiveLocalToken, decide_give_local
from flyball.records.base import Refusal
from flyball.records.identity import Role, Scope, secret_hash
from flyball.store import secretfile

FILE = "local.token"


def new_secret() -> str:
    """A token's secret, from the system's randomness."""
    return secret_of(os.urandom(BITS // 8))


def login_name() -> str:
    """The name of the user of this process; a container's user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def local_secret(folder: Path) -> str:
    """The secret in `folder` (`.flyball/keys`), made if there is none. Raises Refused (another user's, others can read it, or it is damaged), Unavailable."""
    path = folder / FILE
    try:
        if not path.exists():
            secretfile.make(path, new_secret())
        secret = secretfile.read(
            path,
            "the local token",
            why="whoever can read it can do everything here in its user's name",
            fix=f"chmod 600 {path}; if somebody may have read it: remove it, and flyball token revoke the old one",
        )
    except PermissionError as error:
        raise Refused(
            f"the local token {path} cannot be read",
            why="it belongs to another user of this machine, who is the one that acts without a token here",
            fix="ask for a token of your own (flyball token create), and set FLYBALL_TOKEN to it",
        ) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise kind_of(error)(
            f"the local token {path} cannot be used", why=why, fix="check the folder and its rights", retry_after=30
        ) from error
    if not is_secret(secret):
        raise Refused(
            f"the local token {path} is empty or damaged",
            why="it holds no secret that flyball made, and anybody could guess it",
            fix=f"rm {path}; another one is made when it is needed",
        )
    return secret


def local_caller(ledger: Ledger, folder: Path, clock: Clock, *, embedded: bool) -> Caller:
    """The local user, as the ledger knows them, or will once they do something: nothing is recorded for a look.

    Raises Refused, Unauthenticated, Unavailable.
    """
    secret = local_secret(folder)
    state = ledger.state()
    found = authenticate(state, secret, clock.now())
    if isinstance(found, Caller):
        return found
    outcome = decide_give_local(state, _giving(secret, clock, embedded=embedded), clock.now())
    if isinstance(outcome, Refusal):
        raise error_of(outcome)
    if not outcome:
        # the ledger knows it, and does not take it any more
        raise error_of(found)
    name = login_name()
    return Caller(actor=actor_of(name), person=name, roles=(Role.ADMIN,), scopes=tuple(Scope))


def admitted(ledger: Ledger, folder: Path, clock: Clock, *, embedded: bool) -> Caller:
    """The local user, known to the ledger from now on. Raises as `local_caller` does, and what the ledger raises."""
    found = local_caller(ledger, folder, clock, embedded=embedded)
    if found.token:
        return found
    secret = local_secret(folder)
    Authorised(ledger, lambda: LOOP).execute(_giving(secret, clock, embedded=embedded), decide_give_local)
    return holder(ledger, secret, clock)


def _giving(secret: str, clock: Clock, *, embedded: bool) -> GiveLocalToken:
    return GiveLocalToken(
        id=clock.new_id("cmd"),
        actor=LOOP.actor,
        token=clock.new_id("tok"),
        person=login_name(),
        hash=secret_hash(secret),
        embedded=embedded,
    )


def holder(ledger: Ledger, secret: str, clock: Clock) -> Caller:
    """Whose token it is. Raises Unauthenticated."""
    found = authenticate(ledger.state(), secret, clock.now())
    if isinstance(found, Refusal):
        raise error_of(found)
    return found
