"""From a wish to train to a run: what a run is asked to do follows from the declaration, the data, and the champion."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from flyball.clock import Instant
from flyball.data.rules import told_source, usable
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.reads import judged_on, made_from
from flyball.declare.rules_fit import written_hyperparameters
from flyball.declare.units import near
from flyball.errors import BadInput, Conflict, NotFound, Refused
from flyball.evaluation.comparison import LEAST_ROWS, LOOKS
from flyball.loop.commands import Train, decide_train
from flyball.loop.ports import Ports
from flyball.records import codec
from flyball.records.base import Receipt, State
from flyball.records.data import DATASETS, DatasetVersion
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.training import MAKING, MODEL_RUNS, RUNS, RunRow, RunSpec, Trigger
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow

Parameters = dict[str, int | float | str | bool]

MOST_TRIALS = 10_000
"""Trials that a person may ask for: each is a fit of its own, and a slip of the pen must not keep a machine for days."""


def run_spec(
    ports: Ports,
    state: State,
    model: Model,
    trigger: Trigger,
    now: Instant,
    *,
    parameters: Parameters | None = None,
    trials: int | None = None,
    changed_at: Instant = 0,
) -> RunSpec:
    """What a run is to do.

    A person's run and a changed declaration search; a run that only follows the data takes the champion's hyperparameters, so that a
    retrain differs from the champion by its data alone. It cannot where the champion was declared otherwise (a changed declaration whose
    version did not pass): then it searches too, for what that champion had chosen belongs to another fit. Raises NotFound where there is
    nothing to train on, BadInput for a hyperparameter that fit has not, or a number of trials that cannot be meant.
    """
    made_here(ports, model)
    declared = state.get(DECLARATIONS, model.name)
    if declared is None:
        raise NotFound(f'no model "{model.name}" is declared', fix="flyball apply")
    _check(ports, model, declared.code, parameters or {}, trials or 0)
    for dataset in made_from(model).values():
        _require(state, model, dataset)
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    champion = state.get(VERSIONS, f"{model.name}/{row.champion}") if row.champion else None
    newest = state.get(VERSIONS, f"{model.name}/{row.newest}") if row.newest else None
    follows = trigger in ("schedule", "monitor") and champion is not None and champion.version_digest == declared.version_digest
    search = model.train.trials if model.train is not None and model.train.search else 0
    return RunSpec(
        model=model.name,
        declaration=declared.body,
        code=declared.code,
        file=declared.file,
        version_digest=declared.version_digest,
        policy_digest=declared.policy_digest,
        gates_digest=declared.gates_digest,
        datasets=_contents(ports, state, model, champion),
        unread=unread(state, model),
        as_of=min(now, _own(state, model).as_of),
        champion=champion.artifact if champion else "",
        champion_version=champion.version if champion else "",
        champion_result=champion.result if champion else "",
        parameters=_inherited(ports, champion) if follows else (parameters or {}),
        trials=(search if trials is None else trials) if not follows else 0,
        seed=model.train.seed if model.train is not None else 0,
        changed_at=changed_at,
        window_scores=ports.library.result(newest.result).window_scores
        if newest and newest.version_digest == declared.version_digest
        else {},
        making=MAKING,
    )


def made_here(ports: Ports, model: Model) -> None:
    """Raise Refused in an environment that takes its versions from another one."""
    if ports.before is not None:
        raise Refused(
            f"nothing is trained in {ports.environment}",
            why=f"versions come from {ports.before.name}, where they were tried before anybody depends on them",
            fix=f"flyball train {model.name} --env {ports.before.name}",
            code="made-before",
        )


def missing(state: State, model: Model) -> tuple[Dataset, ...]:
    """The data sets that a run of the model reads and that have no version to be used."""
    return tuple(data for name, data in made_from(model).items() if usable(state.get(DATASETS, name), data) is None)


def _require(state: State, model: Model, dataset: Dataset) -> None:
    """Raise Conflict for a data set without a version to be used."""
    data = state.get(DATASETS, dataset.name)
    if usable(data, dataset) is None:
        violations = data.violations if data else ()
        raise Conflict(
            f'data set "{dataset.name}" has no version that may be used',
            why="; ".join(violations) or f"nothing was read from {told_source(dataset)} yet",
            fix="mend the source; it is read again when it changes"
            if violations
            else f"flyball train {model.name} reads it, and so does flyball up",
        )


def _own(state: State, model: Model) -> DatasetVersion:
    """The version of the model's own data set. Raises NotFound where it is gone."""
    head = usable(state.get(DATASETS, model.data.name), model.data)
    if head is None:
        raise NotFound(f'data set "{model.data.name}" has no version that may be used')
    return head


def unread(state: State, model: Model) -> dict[str, str]:
    """Why the cases of the model's suites cannot be read as their sources are now, by data set: one that is missing, or breaks its contract.

    A model is trained on the last good version of its rows. Cases that are gone pass nobody: a missing suite is insufficient.
    """
    found = {}
    for name in judged_on(model).keys() - made_from(model).keys():
        row = state.get(DATASETS, name)
        if row is not None and row.refused_mark:
            first = (row.violations or ("its source was refused",))[0].splitlines()[0]
            found[name] = first if first.startswith("data set ") else f'data set "{name}": {first}'
    return dict(sorted(found.items()))


def _contents(ports: Ports, state: State, model: Model, champion: VersionRow | None) -> dict[str, str]:
    """The contents that a run reads, by data set: those of its model and its suites, and those of the champion that it is judged against."""
    gone = unread(state, model)
    sets = made_from(model) | {name: dataset for name, dataset in judged_on(model).items() if name not in gone}
    run = state.get(RUNS, champion.run) if champion else None
    if run is not None:
        with suppress(NotFound):  # what was asked of an old run may have been collected
            for name, dataset in made_from(ports.library.model(ports.library.spec(run.spec).declaration)).items():
                sets.setdefault(name, dataset)
    heads = {name: usable(state.get(DATASETS, name), dataset) for name, dataset in sets.items()}
    return {name: head.content for name, head in heads.items() if head is not None}


def _check(ports: Ports, model: Model, code: str, parameters: Parameters, trials: int) -> None:
    """What a run could only fail on. Whether fit takes a value, it alone knows."""
    if not 0 <= trials <= MOST_TRIALS:
        why = f"each trial is a fit of its own: 0 to {MOST_TRIALS:,} can be asked for"
        raise BadInput(
            f"{trials:,} trials", why=why, fix="ask for fewer; 0 takes the declared defaults" if trials > 0 else "0 searches nothing"
        )
    if not parameters or model.train is None:
        return
    known = written_hyperparameters(model.train.fit, msgspec.json.decode(ports.blobs.get(code), type=dict[str, str]))
    unknown = [name for name in parameters if known is not None and name not in known]
    if known is not None and unknown:
        why = f"it has {', '.join(known) or 'none'}"
        raise BadInput(f'fit of {model.name} has no hyperparameter "{unknown[0]}"', why=why, fix=near(unknown[0], known))


def judging_spec(ports: Ports, state: State, model: Model, version: VersionRow, now: Instant) -> RunSpec | None:
    """What judging a held version again is to do; None if nothing new can be known yet.

    Each seventh of the hold-out's length that passed is worth another look, until the evidence is twice as long as the hold-out. Where too few rows
    were there to be tested, the next look is still the first.
    """
    made, row = state.get(RUNS, version.run), state.get(MODELS, model.name)
    if made is None or row is None or model.train is None or model.train.by_share or missing(state, model):
        return None
    judged = _judged_by(state, version, made)
    # what was made again was judged on the rows of that run, beside the champion of then
    trained = max(
        (run for run in _runs_of(state, version) if not run.judges and run.run <= judged.run), key=lambda run: run.run, default=made
    )
    newest = state.get(RUNS, row.last_run) or judged
    first, last, tried = (ports.library.spec(each.spec) for each in (trained, judged, newest))
    as_of = min(now, _own(state, model).as_of)
    champion = state.get(VERSIONS, f"{model.name}/{row.champion}") if row.champion else None
    declared = state.get(DECLARATIONS, model.name)
    if declared is None:
        return None
    same_champion = (champion.version if champion else "") == first.champion_version == last.champion_version
    # a judging that failed is not tried again at once
    seen = max(seen_by(last), seen_by(tried))
    looked, looks = (1 + (moment - first.as_of) * (LOOKS - 1) // model.train.holdout_span for moment in (seen, as_of))
    if not same_champion or looks <= looked or looked >= LOOKS:
        return None
    return msgspec.structs.replace(
        _by_present_gates(first, declared) if declared.version_digest == version.version_digest else first,
        datasets=_contents(ports, state, model, champion),
        unread=unread(state, model),
        as_of=as_of,
        champion_result=champion.result if champion else "",
        candidate=version.artifact,
        candidate_version=version.version,
        prior=version.result,
        trials=0,
        look=1 if ports.library.result(version.result).holdout_rows < LEAST_ROWS else last.look + 1,
    )


def judging_anew(ports: Ports, state: State, model: Model, version: VersionRow, now: Instant) -> RunSpec | None:
    """What judging a version by the gates of `model` as it is declared now is to do: on the very rows that judged it, and on the cases of suites as
    they are now; None where it is not known any more what judged it.
    """
    declared, made = state.get(DECLARATIONS, version.model), state.get(RUNS, version.run)
    if declared is None or made is None:
        return None
    try:
        spec = ports.library.spec(_judged_by(state, version, made).spec)
    except NotFound:  # what was asked of an old run may have been collected
        return None
    # of a suite's data set that is gone, or comes from elsewhere now, nothing is asked: what it was then is no case of this declaration's
    asked = {name: dataset for name, dataset in judged_on(model).items() if name not in made_from(model)}
    gone = unread(state, model)
    heads = {name: usable(state.get(DATASETS, name), dataset) for name, dataset in asked.items() if name not in gone}
    cases = {name: head.content for name, head in heads.items() if head is not None}
    return msgspec.structs.replace(
        _by_present_gates(spec, declared),
        datasets={name: content for name, content in spec.datasets.items() if name not in asked} | cases,
        unread=gone,
        as_of=now,
        candidate=version.artifact,
        candidate_version=version.version,
        prior=version.result,
        trials=0,
        known_until=seen_by(spec),
    )


def _runs_of(state: State, version: VersionRow) -> list[RunRow]:
    """The runs that made a version, or judged it again."""
    return [run for _, run in state.scan(MODEL_RUNS, f"{version.model}/") if run.version == version.version]


def _judged_by(state: State, version: VersionRow, made: RunRow) -> RunRow:
    """The run whose result a version has: one that was held may have been judged since on more rows than the run had that `made` it."""
    return max((run for run in _runs_of(state, version) if run.result == version.result), key=lambda run: run.run, default=made)


def seen_by(spec: RunSpec) -> Instant:
    """By when the newest rows were known that a run's result rests on."""
    return spec.known_until or spec.as_of


def _by_present_gates(spec: RunSpec, declared: DeclarationRow) -> RunSpec:
    return msgspec.structs.replace(
        spec,
        declaration=declared.body,
        code=declared.code,
        file=declared.file,
        policy_digest=declared.policy_digest,
        gates_digest=declared.gates_digest,
    )


def _inherited(ports: Ports, champion: VersionRow | None) -> Parameters:
    return dict(ports.library.result(champion.result).parameters) if champion else {}


def start(
    ports: Ports, spec: RunSpec, *, trigger: Trigger, reason: str, actor: str, release: bool = True, command: str | None = None
) -> tuple[str, Receipt]:
    """Queue a run; returns its id."""
    run = ports.clock.new_id("run")
    train = Train(
        id=command or ports.clock.new_id("cmd"),
        actor=actor,
        run=run,
        model=spec.model,
        trigger=trigger,
        reason=reason,
        spec=ports.blobs.put(codec.encode(spec)),
        what=spec,
        release=release,
        commit=ports.commit_of(msgspec.json.decode(ports.blobs.get(spec.code), type=dict[str, str])),
    )
    return run, ports.ledger.execute(train, decide_train)
