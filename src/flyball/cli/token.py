"""`flyball token`: who may do what. A secret is printed once, when its token is made, and kept nowhere."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output, ago, roughly
from flyball.clock import Instant, rfc3339
from flyball.errors import Refused
from flyball.governance.authority import is_valid, may_see_tokens, recovery
from flyball.ledger.ledger import error_of
from flyball.loop import lookup, tokens
from flyball.loop.local import login_name, new_secret
from flyball.loop.tokens import RevokeToken, decide_create, decide_revoke
from flyball.records.base import State
from flyball.records.identity import TOKENS, Job, Role, Scope, TokenCreated, TokenRow
from flyball.serving.tokens import publish

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()


@app.callback()
def token() -> None:
    """Tokens of people and programs."""


@app.command()
def create(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="whose it is: a login name or a mail address")],
    *,
    roles: Annotated[list[str] | None, typer.Option("--role", metavar="R", help=f"may be given again: {', '.join(Role)}")] = None,
    jobs: Annotated[
        list[str] | None, typer.Option("--job", metavar="J", help=f"stands for roles; may be given again: {', '.join(Job)}")
    ] = None,
    team: Annotated[str, typer.Option("--team", metavar="T", help="the team that the person is in")] = "",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="S", help=f"where it is taken; may be given again: {', '.join(Scope)}; control by default"),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="PATTERN", help="only for such models; may be given again; all by default")
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="SPAN", help="how long it is taken, such as 90d; for ever by default")] = "",
    recover: Annotated[
        bool, typer.Option("--recover", help="an admin's, where no admin can be let in: whoever holds the database may")
    ] = False,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Give a person or a program a token. Its secret is printed here, once."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as opened:
        wired = _recovering(opened) if recover else opened
        acting, clock, secret = Acting(dry_run=dry_run, key=key), wired.ports.clock, new_secret()
        with common.reading_options():
            command = tokens.order(
                command=common.command_id(wired, acting, f"create {person} {team} {jobs} {roles} {scopes} {models} {expires}"),
                actor=wired.caller.actor,
                token=clock.new_id("tok"),
                person=person,
                secret=secret,
                team=team,
                jobs=jobs or (),
                roles=[*(roles or ()), *([Role.ADMIN] if recover else [])],
                scopes=scopes or (),
                models=models or (),
                expires_at=_expiry(expires, clock.now()),
            )
        receipt = common.act(wired, out, command, decide_create, acting)
        if receipt is None:
            return 0
        publish(wired.layout, [row for _, row in wired.ports.ledger.state().scan(TOKENS)])
        made = next(event for event in lookup.events_of(wired.ports.ledger, receipt) if isinstance(event, TokenCreated))
        ends = rfc3339(made.expires_at) if made.expires_at else "never"
        out.line(
            f"{made.token}  {made.person}   {', '.join((*made.jobs, *made.roles)) or 'no role'}   expires {ends}   event {receipt.last}"
        )
        _show_secret(out, secret, repeated=receipt.repeated)
        document = _document(wired.ports.ledger.state(), made.token, clock.now())
        out.document(document | {"secret": None if receipt.repeated else secret, "event": receipt.last})
    return 0


def _show_secret(out: Output, secret: str, *, repeated: bool) -> None:
    if repeated:
        out.note("it was made before, and its secret was shown then")
        return
    out.line(secret)
    out.note("this is its secret, shown once and kept nowhere: hand it over by a safe way; it is used as FLYBALL_TOKEN, or as a bearer")


def _recovering(wired: Wired) -> Wired:
    """The project for somebody who holds its database and is let in by no token. Raises Refused where a token was given."""
    from flyball.wiring import TOKEN_VARIABLE

    if os.environ.get(TOKEN_VARIABLE):
        raise Refused(
            "--recover takes no token", why=f"{TOKEN_VARIABLE} is set: what it may do, it may do without", fix=f"unset {TOKEN_VARIABLE}"
        )
    caller = recovery(login_name())
    return replace(wired, ports=wired.acting(caller), identify=lambda: caller)


def _expiry(text: str, now: Instant) -> Instant:
    """When a token ends; 0 for never. Raises BadArgument."""
    if not text:
        return 0
    try:
        return common.span("--expires", text).after(now)
    except ValueError as error:
        raise common.BadArgument(f'--expires "{text}"', why=str(error), fix="--expires 90d, or none for never") from None


@app.command("list")
def list_tokens(
    *,
    everything: Annotated[bool, typer.Option("--all", help="those that are not taken any more, too")] = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Every token that is taken, newest first. Without secrets: nobody has them but their holders."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        refused = may_see_tokens(wired.caller)
        if refused is not None:
            raise error_of(refused)
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        rows = [row for _, row in state.scan(TOKENS) if everything or is_valid(row, now)]
        rows.sort(key=lambda row: (-row.created_at, row.token))
        cells = [
            [
                row.token,
                row.person,
                row.team or "–",
                ", ".join((*row.jobs, *row.roles)) or "–",
                ", ".join(row.scopes),
                ", ".join(row.models) or "all",
                f"{ago(row.created_at, now)} ago by {row.created_by}",
                _standing(row, now),
            ]
            for row in rows
        ]
        if rows:
            out.table(("TOKEN", "PERSON", "TEAM", "JOBS AND ROLES", "FOR", "MODELS", "MADE", "TAKEN"), cells)
        else:
            out.line("no token yet: the first thing that is done here makes the local user's")
        out.document({"tokens": [_document(state, row.token, now) for row in rows]})
    return 0


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="a token's id, as flyball token list shows it")],
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Refuse a token from here on. The last one of an admin stays."""
    out = Output(as_json=as_json, quiet=quiet)
    common.must_say("--reason", reason, "revoking a token needs a reason", why="it is recorded, and told to whoever still uses it")
    with common.opened(project, env) as wired:
        acting = Acting(reason, dry_run, key)
        command = RevokeToken(
            id=common.command_id(wired, acting, f"revoke {token_id}"),
            actor=wired.caller.actor,
            token=token_id,
            reason=reason[: tokens.LONGEST_REASON],
        )
        receipt = common.act(wired, out, command, decide_revoke, acting)
        if receipt is not None:
            # gateways hear of it where no control plane runs, too
            publish(wired.layout, [row for _, row in wired.ports.ledger.state().scan(TOKENS)])
            out.line(f"{token_id} is revoked   event {receipt.last}")
            out.document({"token": token_id, "event": receipt.last})
    return 0


def _standing(row: TokenRow, now: Instant) -> str:
    if row.revoked_at:
        return f"revoked {ago(row.revoked_at, now)} ago: {row.revoked_why}"
    if not row.expires_at:
        return "for ever"
    return f"for {roughly(row.expires_at - now)}" if is_valid(row, now) else f"expired {ago(row.expires_at, now)} ago"


def _document(state: State, token_id: str, now: Instant) -> dict[str, Any]:
    """A token for programs: all of it but the hash."""
    row = state.get(TOKENS, token_id)
    assert row is not None, f"{token_id} was recorded and is not there"
    return {
        "token": row.token,
        "person": row.person,
        "team": row.team,
        "jobs": row.jobs,
        "roles": row.roles,
        "scopes": row.scopes,
        "models": row.models,
        "created": rfc3339(row.created_at),
        "created_by": row.created_by,
        "expires": rfc3339(row.expires_at) if row.expires_at else None,
        "revoked": rfc3339(row.revoked_at) if row.revoked_at else None,
        "valid": is_valid(row, now),
    }
