"""What the playbook has the loop do about an incident beside retraining and freezing: go back, let the fallback answer, train without releasing.

Each is done once for an incident, as far as `autonomy=` lets it; what it may not do is proposed. Caps are `loop.caps`, freezes `loop.freezes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import Conflict, NotFound, Refused
from flyball.incidents.playbook import not_done
from flyball.ledger.bounds import clipped
from flyball.loop import training as runs
from flyball.loop.commands import active_run
from flyball.loop.fallbacks import BeginFallback, EndFallback, decide_begin, decide_end
from flyball.loop.findings import incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import LIVE
from flyball.loop.ports import Ports
from flyball.loop.proposals import ACTOR, may
from flyball.loop.releases import Rollback, against_way_back, decide_rollback
from flyball.records.base import Event, Record, State
from flyball.records.fallbacks import FALLBACKS
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentRow
from flyball.records.serving import ROUTES
from flyball.records.training import MODEL_RUNS
from flyball.records.versions import MODELS, ModelRow


class NoteUndone(Record, frozen=True):
    """Say on an incident which actions of its playbook cannot be done, and why."""

    id: str
    actor: str
    incident: str
    notes: tuple[str, ...]


def decide_undone(state: State, command: NoteUndone, _now: Instant) -> Sequence[Event]:
    """Each note once."""
    row = state.get(INCIDENTS, command.incident)
    known = row.notes if row is not None else command.notes
    return [IncidentNoted(incident=command.incident, note=note) for note in command.notes if note not in known]


def note_undone(ports: Ports, model: Model) -> None:
    """What the playbook asks for and the model gives no means to do is said on the incident: nobody is to wait for it."""
    state = ports.ledger.state()
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    for incident in incidents_of(state, model.name):
        if incident.state not in LIVE:
            continue
        notes = tuple(not_done(action, why) for action in incident.actions if (why := _no_means(model, row, incident, action)))
        command = NoteUndone(id=ports.clock.new_id("cmd"), actor=ACTOR, incident=incident.incident, notes=notes)
        if decide_undone(state, command, ports.clock.now()):
            ports.ledger.execute(command, decide_undone)


def _no_means(model: Model, row: ModelRow, incident: IncidentRow, action: str) -> str:
    """Why an action cannot be done whatever the loop may do; empty where it can, or was done by what opened the incident, or a champion took over since."""
    if row.champion_at > _began(incident):
        return ""
    first = f"no version was champion before {row.champion}" if row.champion and not row.former and not incident.rollout else ""
    if action == "rollback":
        return first
    if action == "fallback" and model.fallback is None:
        return f"no fallback= is declared, and {first}" if first else ""
    # without a champion newer rows are trained on, whatever is declared
    return "no retrain= is declared" if action == "retrain" and model.retrain is None and row.champion else ""


def go_back(ports: Ports, model: Model) -> None:
    """The playbook's rollback: once for each incident and route, and only where a former champion can come back.

    To one that is advised against a person goes back. One whose gates do not hold any more is what answered before all the same. Where nothing is
    declared to fall back to, the former champion is the fallback.
    """
    state = ports.ledger.state()
    row = state.get(MODELS, model.name)
    asked = {"rollback"} if model.fallback is not None else {"rollback", "fallback"}
    for incident in incidents_of(state, model.name):
        # a run or a rollout under way makes it mitigating at once, and is not yet an answer to it
        wanted = incident.state in LIVE and asked & set(incident.actions) and not incident.rollout
        if wanted and row is not None and row.former and row.champion_at < incident.opened_at:
            advised, doubts = against_way_back(state, row, ports.clock.now())
            mode = "propose" if advised and model.autonomy.rollback == "act" else model.autonomy.rollback
            reason = clipped("; ".join(filter(None, (f"{incident.incident}: {incident.what}", advised, doubts))))
            if may(ports, model, mode, "rollback", row.former, reason, cause=incident.incident):
                # a rollout under way is left first; if the champion is still at fault, the next look goes on to the former one
                command = Rollback(id=f"playbook-{incident.incident}-{row.rollout}", actor=ACTOR, model=model.name, reason=reason)
                ports.ledger.execute(command, partial(decide_rollback, model=model, folds=FOLDS, signatures=ports.library.signature))


def fall_back(ports: Ports, model: Model) -> None:
    """The declared fallback answers while an incident that asks for it is not mitigated, and versions answer again when it is."""
    state = ports.ledger.state()
    standing = state.get(FALLBACKS, model.name)
    if standing is not None:
        incident = state.get(INCIDENTS, standing.incident)
        if incident is None or incident.state not in LIVE:
            why = f"{standing.incident} is {incident.state.value if incident is not None else 'gone'}"
            command = EndFallback(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name, reason=why)
            ports.ledger.execute(command, partial(decide_end, model=model, folds=FOLDS, signatures=ports.library.signature))
        return
    incident = next((row for row in incidents_of(state, model.name) if row.state in LIVE and "fallback" in row.actions), None)
    if incident is None or model.fallback is None or state.get(ROUTES, model.name) is None:
        return
    reason = clipped(f"{incident.incident}: {incident.what}")
    if may(ports, model, model.autonomy.rollback, "fallback", "", reason, cause=incident.incident):
        begin = BeginFallback(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name, incident=incident.incident, reason=reason)
        ports.ledger.execute(begin, partial(decide_begin, model=model, folds=FOLDS, signatures=ports.library.signature))


def train_in_shadow(ports: Ports, model: Model) -> None:
    """A training whose version is released by nobody but a person: what newer rows would come to. Once for each incident."""
    state = ports.ledger.state()
    if ports.before is not None or model.train is None or active_run(state, model.name) is not None:
        return
    wanted = (row for row in incidents_of(state, model.name) if row.state in LIVE and "shadow-train" in row.actions)
    incident = next((row for row in wanted if not _trained_for(state, model, row)), None)
    if incident is None or runs.missing(state, model):
        return
    reason = clipped(f"{incident.incident}, in shadow: {incident.what}")
    if not may(ports, model, model.autonomy.training, "train", "", reason, cause=incident.incident):
        return
    try:
        spec = runs.run_spec(ports, state, model, "monitor", ports.clock.now())
    except (Refused, NotFound, Conflict) as error:
        # nothing to train on is what the incident may be about; it is said, and the rest of the model's turn goes on
        may(ports, model, "record", "train", "", clipped(f"{reason}: {error.what}"), cause=incident.incident)
        return
    runs.start(
        ports,
        spec,
        trigger="monitor",
        reason=reason,
        actor=ACTOR,
        release=False,
        command=f"shadow-train-{incident.incident}-{_began(incident)}",
    )


def _began(incident: IncidentRow) -> int:
    return max(incident.opened_at, incident.reopened_at)


def _trained_for(state: State, model: Model, incident: IncidentRow) -> bool:
    begun = (run for _, run in state.scan(MODEL_RUNS, f"{model.name}/") if not run.release and run.queued_at >= _began(incident))
    return any(run.reason.startswith(f"{incident.incident}, in shadow") for run in begun)
