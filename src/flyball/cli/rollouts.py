"""`flyball rollouts`: where releases stand, on which evidence, and a person's hand on them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason, Yes
from flyball.cli.output import Output, ago, dated, event_text, number, roughly
from flyball.cli.release import step_text
from flyball.clock import Instant, Span
from flyball.declare import change_window
from flyball.declare.live import ERRORS
from flyball.loop import lookup, orders
from flyball.loop.memory import load
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.rollouts import ACTIVE, ROLLOUTS, Reading, RolloutEvidence, RolloutRow, RolloutState

if TYPE_CHECKING:
    from flyball.wiring import Wired

_QUIET = 180_000_000
"""Microseconds without evidence from which on a rollout is said to wait for requests."""

app = common.app()
Rollout = Annotated[str, typer.Argument(metavar="ID", help="a rollout's id, or its end, or a model (its newest rollout)")]


@app.callback()
def rollouts() -> None:
    """Rollouts of all models."""


@app.command("list")
def list_rollouts(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="only this model's rollouts", show_default=False)] = "",
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Every rollout, newest first."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        if model:
            common.declared(wired, common.model_name(model))
        now = wired.ports.clock.now()
        rows = [
            row for _, row in wired.ports.ledger.state().scan(ROLLOUTS) if model in ("", row.model) and common.may_see(wired, row.model)
        ]
        rows.sort(key=lambda row: (-row.planned_at, row.rollout))
        cells = [[row.rollout, row.model, _versions(row), where(row, now), f"{ago(row.planned_at, now)} ago", row.why] for row in rows]
        if rows:
            out.table(("ID", "MODEL", "VERSIONS", "WHERE", "STARTED", "WHY"), cells)
        else:
            out.line("no rollout yet: flyball release MODEL@VERSION starts one")
        out.document({"rollouts": [dated(row) for row in rows]})
    return 0


@app.command()
def show(rollout: Rollout, *, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """One rollout. Where it stands, and what each test has for and against it."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        ports = wired.ports
        state, now = ports.ledger.state(), ports.clock.now()
        row = lookup.rollout(state, rollout, partial(common.may_see, wired))
        common.must_see(wired, row.model)
        evidence = load(ports.memory).evidence(row.rollout)
        found = lookup.readings_of(ports, state, row, evidence)
        out.line(f"{row.rollout}  {row.model} {_versions(row)}   {where(row, now, evidence)}")
        # who is not up reads no request
        if common.is_up(wired) and (told := waits(row, now, evidence)):
            out.line(f"  {told}")
        width = max((len(_test(one)) for one in found), default=0)
        for one in found:
            out.line(f"  {_test(one):<{width}}   {_evidence(one, evidence)}")
        if evidence.shadow_dropped:
            out.line(f"  shadow requests dropped {evidence.shadow_dropped:,}")
        out.line(f"  {evidence.labelled:,} of {evidence.matured:,} rows that should have a label by now have one")
        window = _window(wired, state, row)
        if window:
            out.line(f"  change window {change_window.told(window, now)}")
        out.line(f"  why: {row.why}")
        out.document({"rollout": dated(row), "readings": found, "counts": evidence, "change_window": change_window.document(window, now)})
    return 0


def _window(wired: Wired, state: State, row: RolloutRow) -> str:
    """The change window by which a rollout that has not ended goes forward; empty for none."""
    declared = state.get(DECLARATIONS, row.model) if row.state in ACTIVE and not row.outside_window else None
    model = lookup.readable(wired.ports.library, declared)[0] if declared is not None else None
    return model.rollout.change_window if model is not None else ""


def _act(rollout: str, verb: orders.SteerVerb, acting: Acting, *, project: Path, env: str, out: Output, yes: bool = True) -> int:
    with common.opened(project, env) as wired:
        ports = wired.ports
        row = lookup.rollout(ports.ledger.state(), rollout, partial(common.may_see, wired))
        common.must_see(wired, row.model)
        question = f"abort {row.rollout} ({row.model} {_versions(row)})?"
        if verb == "abort" and not acting.dry_run and not common.sure(question, yes=yes):
            return 1
        command, decide = orders.steer(
            ports, row, verb, command=common.command_id(wired, acting, f"{verb} {rollout}"), actor=wired.caller.actor, reason=acting.reason
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            after = lookup.rollout(ports.ledger.state(), row.rollout)
            out.line(f"{after.rollout}  {row.state.value} → {after.state.value}   {event_text(receipt.last)}")
            out.document({"rollout": after.rollout, "from": row.state, "state": after.state, "event": receipt.last})
    return 0


@app.command()
def pause(
    rollout: Rollout,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Stop it where it is; traffic stays as it is split. A guard that fires still rolls it back."""
    return _act(rollout, "pause", Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet))


@app.command()
def resume(
    rollout: Rollout,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let a paused or frozen rollout go on."""
    return _act(rollout, "resume", Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet))


@app.command()
def abort(
    rollout: Rollout,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    yes: Yes = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Roll it back: the champion from before takes all traffic again."""
    return _act(rollout, "abort", Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet), yes=yes)


def where(row: RolloutRow, now: Instant, evidence: RolloutEvidence | None = None) -> str:
    """Where a rollout stands: "canary 25%, 3 h 10 m of 6 h"."""
    if row.state not in (RolloutState.SHADOW, RolloutState.CANARY) or row.step >= len(row.steps):
        return f"{row.state.value}, {ago(row.entered_at, now)}" if row.state in ACTIVE else row.state.value
    step = row.steps[row.step]
    head = step_text(step).removesuffix(f" {step.bake}")
    if evidence is None:
        return step_text(step)
    return f"{head}, {roughly(_in_step(row, evidence).baked, parts=2)} of {roughly(step.bake, parts=2)}"


def _in_step(row: RolloutRow, evidence: RolloutEvidence) -> RolloutEvidence:
    """The evidence with the time of this very step: until a request comes, it has that of the one before."""
    if evidence.under in ("", f"{row.state.value}:{row.step}"):
        return evidence
    return msgspec.structs.replace(evidence, baked=Span(0), last=0)


def waits(row: RolloutRow, now: Instant, evidence: RolloutEvidence) -> str:
    """That a step does not come nearer to its end, for want of requests; else empty. The newest evidence is of a minute that ended."""
    if row.state not in (RolloutState.SHADOW, RolloutState.CANARY) or row.step >= len(row.steps):
        return ""
    evidence = _in_step(row, evidence)
    if evidence.baked >= row.steps[row.step].bake:
        return ""
    since = max(evidence.last, row.entered_at)
    return f"waits for requests: none for {ago(since, now)}, and only time with requests counts" if now - since > _QUIET else ""


def _versions(row: RolloutRow) -> str:
    return f"{row.champion or 'none'} → {row.version}"


def _test(one: Reading) -> str:
    return f"{one.test} in {one.slice}" if one.slice else one.test


def _evidence(one: Reading, evidence: RolloutEvidence) -> str:
    if one.test == ERRORS:
        canary = sum(step.canary_units for step in evidence.steps), sum(step.canary_bad for step in evidence.steps)
        stable = sum(step.stable_units for step in evidence.steps), sum(step.stable_bad for step in evidence.steps)
        counts = f"canary {canary[1]:,} of {canary[0]:,}   stable {stable[1]:,} of {stable[0]:,}   "
    else:
        counts = ""
    parts = [
        f"{word} {_e(log10)}" + (f" of {number(need)}" if need is not None else "")
        for word, log10, need in (("evidence for", one.log10_for, one.need_for), ("against", one.log10_against, one.need_against))
        if log10 is not None
    ]
    if not parts:
        return f"{counts}not tested live"
    return f"{counts}{'   '.join(parts)}   n={one.n:,}"


def _e(log10: float) -> str:
    """A betting score as people read it: up to a million, then its order of magnitude."""
    return number(10**log10) if -3 < log10 < 6 else ("0" if log10 < 0 else f"10^{log10:.0f}")
