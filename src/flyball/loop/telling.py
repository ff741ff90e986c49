"""An event as one line for a person who watches: what `flyball up` tells while it runs, and the demo's timeline. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flyball.clock import to_second
from flyball.declare.change_window import CLOSED
from flyball.ledger.bounds import counted
from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.base import Event, State
from flyball.records.data import DataCommitted, DataRefused
from flyball.records.declarations import DeclarationApplied, DeclarationHealed, DeclarationRefused
from flyball.records.deliveries import AlertUndelivered
from flyball.records.environments import JudgingWanted, TrainingWanted, VersionCarried, VersionIntegrated
from flyball.records.estimates import Verdict
from flyball.records.fallbacks import FallbackBegan, FallbackEnded
from flyball.records.incidents import IncidentMoved, IncidentNoted, IncidentOpened
from flyball.records.integration import Integration
from flyball.records.mutes import AlertMuted, AlertUnmuted
from flyball.records.proposals import ProposalMade
from flyball.records.rollouts import RolloutMoved, RolloutState
from flyball.records.training import RUNS, RunCancelled, RunFailed, RunQueued, RunSucceeded
from flyball.records.versions import (
    ChampionChanged,
    VersionApproved,
    VersionDenied,
    VersionDeprecated,
    VersionEligible,
    VersionHeld,
    VersionJudged,
    VersionQuarantined,
    VersionRejected,
    VersionWaived,
)

Mood = Literal["plain", "good", "bad"]
_SHOWN = 5


def line(event: Event, model: str = "") -> tuple[Mood, str]:
    """(mood, text) of an event; empty text for one that is not told. model: whose the run is that an event names (`model_of`)."""
    told = _of_declarations(event) or _of_training(event, model) or _of_rollouts(event) or _of_monitoring(event)
    return told or ("plain", "")


class Telling:
    """Lines of events one after the other: what two of them say is said once.

    An incident that opens again says what is known of it then, and an alert that it did not tell of yet may name the same cause.
    """

    def __init__(self) -> None:
        self._causes: dict[str, str] = {}

    def line(self, event: Event, state: State) -> tuple[Mood, str]:
        """(mood, text) of the next event; empty text for one that is not told."""
        if isinstance(event, IncidentMoved):
            self._causes.pop(event.incident, None)
        if isinstance(event, IncidentNoted) and event.cause and self._causes.get(event.incident) == event.cause:
            return "plain", ""
        if isinstance(event, IncidentOpened | IncidentNoted) and event.cause:
            self._causes[event.incident] = event.cause
        return line(event, model_of(state, event))


def model_of(state: State, event: Event) -> str:
    """The model of an event that names it by its run; empty for any other."""
    run = state.get(RUNS, event.run) if isinstance(event, RunFailed | RunSucceeded | RunCancelled) else None
    return run.model if run is not None else ""


def _of_declarations(event: Event) -> tuple[Mood, str] | None:
    match event:
        case DeclarationApplied():
            return "plain", f"declared    {event.model}  version {event.version_digest[7:15]}  policy {event.policy_digest[7:15]}"
        case DeclarationRefused():
            return "bad", f"broken      {first_of(event.problems) or event.file}   → flyball check"
        case DeclarationHealed():
            return "good", f"mended      {event.file}: nothing in it is broken any more"
        case DataRefused():
            return "bad", f"refused     data {event.name}: {first_of(event.violations)}   → flyball check --data"
        case DataCommitted() if event.findings:
            warned = first_of(tuple(found.text for found in event.findings), event.unlisted)
            return "bad", f"data        {event.version.name}@{event.version.version} warns: {warned}"
        case DataCommitted() if not event.version.parents:
            return "plain", f"data        {event.version.name}  {event.version.rows:,} rows, the contract holds"
        case _:
            return None


def first_of(texts: Sequence[str], unlisted: int = 0) -> str:
    """The first of some texts, its first line, and how many more there are, `unlisted` ones too; empty where there is none."""
    rest = counted(texts) - 1 + unlisted
    more = f" (and {rest:,} more)" if rest > 0 else ""
    return texts[0].splitlines()[0] + more if texts and texts[0] else ""


def _of_training(event: Event, model: str) -> tuple[Mood, str] | None:
    of = f"{model}: " if model else ""
    match event:
        case RunQueued():
            return "plain", f"training    {event.model}: {event.reason}"
        case RunFailed():
            return "bad", f"training    {of}{event.run} failed: {event.why.splitlines()[0] if event.why else 'no reason was left'}"
        case RunSucceeded() if event.version:
            return "plain", f"training    {of}{event.run} ended with version {event.version}, which was there before"
        case RunCancelled():
            return "plain", f"training    {of}{event.run} was cancelled: {first_of((event.reason,)) or 'no reason was given'}"
        case VersionApproved():
            return "good", f"approved    {event.model}@{event.version} as {', '.join(event.roles)}: {event.reason}"
        case VersionDenied():
            return "bad", f"denied      {event.model}@{event.version} as {', '.join(event.roles)}: {event.reason}"
        case VersionWaived():
            until = f" until {to_second(event.until)}" if event.until else ""
            return "bad", f"waived      {event.model}@{event.version} {event.gate}{until}: {event.reason}"
        case VersionQuarantined() | VersionDeprecated():
            done = "quarantine" if isinstance(event, VersionQuarantined) else "advised"
            return "bad", f"{done:<11} {event.model}@{event.version}: {event.reason}"
        case VersionIntegrated():
            failed = Integration(at=0, checks=event.checks).failed
            why = "; ".join(f"{check.name}: {check.told}" for check in failed) or f"{len(event.checks)} checks hold"
            return "bad" if failed else "good", f"tried       {event.model}@{event.version} through its gateway: {why}"
        case VersionCarried():
            return "plain", f"taken over  {event.model}@{event.version} from {event.origin}"
        case TrainingWanted():
            return "bad", f"wanted      {event.origin} wants {event.model} trained: {event.reason}"
        case JudgingWanted():
            return (
                "bad",
                f"wanted      {event.origin or 'a person'} wants {event.model}@{event.version} judged by the gates that are declared now",
            )
        case VersionJudged():
            stopped = tuple(one for one in event.verdicts if one.outcome not in ("pass", "waived"))
            told = f"holds: {_passed(event.verdicts)}" if not stopped else f"does not hold: {_verdicts(stopped)}"
            return "bad" if stopped else "good", f"gates       {event.model}@{event.version}, judged anew, {told}"
        case VersionEligible():
            return "good", f"gates       {event.model}@{event.version} passes: {_passed(event.verdicts)}"
        case VersionHeld() | VersionRejected():
            stopped = tuple(one for one in event.verdicts if one.outcome != "pass")
            return "bad", f"gates       {event.model}@{event.version} is stopped: {_verdicts(stopped)}"
        case _:
            return None


def _passed(verdicts: tuple[Verdict, ...]) -> str:
    """What holds, and what does not and was waived."""
    waived = tuple(one for one in verdicts if one.outcome == "waived")
    parts = (_verdicts(tuple(one for one in verdicts if one.outcome != "waived")), f"waived: {_verdicts(waived)}" if waived else "")
    return "; ".join(filter(None, parts))


def _verdicts(verdicts: tuple[Verdict, ...]) -> str:
    shown = [one.check + (f" {one.slice}" if one.slice else "") for one in verdicts[:_SHOWN]]
    return "; ".join([*shown, *([f"and {len(verdicts) - _SHOWN} more"] if len(verdicts) > _SHOWN else [])])


def _of_rollouts(event: Event) -> tuple[Mood, str] | None:
    match event:
        case RolloutMoved(target=RolloutState.SHADOW):
            return "plain", f"rollout     {event.model}: in shadow it scores every request and answers none"
        case RolloutMoved(target=RolloutState.CANARY):
            return "plain", f"rollout     {event.model}: the next share of traffic ({event.why})"
        case RolloutMoved(target=RolloutState.ROLLING_BACK):
            return "bad", f"rollout     {event.model}: rolling back: {event.why}"
        case RolloutMoved(target=RolloutState.ROLLED_BACK):
            return "good", f"rollout     {event.model}: rolled back: {event.why}"
        case RolloutMoved(target=RolloutState.FAILED | RolloutState.FROZEN):
            return "plain" if event.why.startswith(CLOSED) else "bad", f"rollout     {event.model}: {event.target.value}: {event.why}"
        case ChampionChanged():
            return "good", f"champion    {event.model}@{event.version}" + (f", before it {event.former}" if event.former else "")
        case _:
            return None


def _of_monitoring(event: Event) -> tuple[Mood, str] | None:
    match event:
        case AlertMoved(target=AlertState.FIRING):
            mood: Mood = "bad" if event.finding.severity == "alert" else "plain"
            return mood, f"{event.finding.severity:<12}{event.model}: {event.finding.why}"
        case IncidentOpened():
            return "bad", f"incident    {event.incident} {event.model}: {': '.join(filter(None, (event.what, event.cause)))}"
        case IncidentMoved():
            return "good", f"incident    {event.incident} {event.target.value}: {event.why}"
        case FallbackBegan():
            return "bad", f"fallback    {event.model}: the declared fallback answers: {event.reason}"
        case FallbackEnded():
            return "good", f"fallback    {event.model}: its versions answer again: {event.reason}"
        case IncidentNoted() if event.cause:
            return "plain", f"incident    {event.incident}: its cause is now known: {event.cause}"
        case AlertUndelivered():
            return "bad", f"undelivered {event.incident or 'a warning'} to {event.route}: {event.why}; it is tried again"
        case AlertMuted() | AlertUnmuted():
            of = f'{event.model} "{event.monitor}"' if event.monitor else event.model
            end = f" until {to_second(event.until)}: {event.reason}" if isinstance(event, AlertMuted) else " no more"
            return "plain", f"muted       {of}{end}"
        case ProposalMade() if event.mode == "propose":
            return "plain", f"proposed    {event.action} {event.model}{f'@{event.target}' if event.target else ''}: {event.reason}"
        case _:
            return None
