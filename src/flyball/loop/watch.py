"""What folding one model's log needs to know, from its declaration and its state."""

from __future__ import annotations

import msgspec

from flyball.clock import Span
from flyball.declare.elsewhere import classes, is_elsewhere
from flyball.declare.live import derived_reads, derived_slices, label_attributes, label_delay, ranked_live, request_slices, watches_days
from flyball.declare.model import Model
from flyball.loop.ports import Library
from flyball.monitoring.learning import UNDERWAY
from flyball.records.base import State
from flyball.records.elsewhere import ELSEWHERE
from flyball.records.evidence import Watch
from flyball.records.rollouts import ACTIVE, ROLLOUTS, RolloutRow
from flyball.records.unlabelled import Expected
from flyball.records.versions import MODELS, VERSIONS
from flyball.rollout.readings import loss_of
from flyball.serving.limits import Limits

SETTLE = Span(int((Limits().answer_s + 1) * 1_000_000))
"""A request is answered, failed over or given up within its time limit; the gateway looks for overdue ones some times a second."""


def loss_cap(library: Library, state: State, row: RolloutRow) -> float:
    """What the clipped losses of a rollout's pairs were divided by: the cap of the champion that they were counted under."""
    champion = state.get(VERSIONS, f"{row.model}/{row.champion or row.version}")
    return library.result(champion.result).loss_cap if champion else 1.0


_MOST_KEPT = 4_096
_DECLARED: dict[int, tuple[Model, Watch]] = {}


def declared(model: Model) -> Watch:
    """What the declaration alone says of it: small, and enough to go on with while the declaration cannot be read."""
    # asked of every model at every look; the model is kept, so that its id stays its own
    kept = _DECLARED.get(id(model))
    if kept is None:
        if len(_DECLARED) >= _MOST_KEPT:
            _DECLARED.clear()
        kept = _DECLARED[id(model)] = (model, _declared(model))
    return kept[1]


def _declared(model: Model) -> Watch:
    return Watch(
        model=model.name,
        task=model.task,
        label_delay=label_delay(model),
        slices=request_slices(model),
        derived=derived_slices(model),
        reads=derived_reads(model),
        attributes=label_attributes(model),
        loss=loss_of(model.task),
        settle=SETTLE,
        daily=watches_days(model),
        ranked=ranked_live(model),
        classes=classes(model) if is_elsewhere(model) else (),
        patience=UNDERWAY if is_elsewhere(model) else Span(0),
    )


def watch(own: Watch, state: State, library: Library) -> Watch:
    """The same with what the state adds: the champion's reference and loss, the active rollout's arms and latency threshold."""
    row = state.get(MODELS, own.model)
    if row is None and own.patience:
        normal = state.get(ELSEWHERE, own.model)
        known = normal is not None and normal.watched != ""
        if normal is None or not known:
            return own
        return msgspec.structs.replace(own, loss_cap=normal.loss_cap, bins=library.bins(normal.reference), origin=normal.watched_since)
    champion = state.get(VERSIONS, f"{own.model}/{row.champion}") if row and row.champion else None
    result = library.result(champion.result) if champion else None
    found = state.get(ROLLOUTS, row.rollout) if row and row.rollout else None
    rollout = found if found is not None and found.state in ACTIVE else None
    expected = library.expected(result.expected) if result else Expected()
    return msgspec.structs.replace(
        own,
        patience=Span(0),
        loss_cap=result.loss_cap if result else 1.0,
        classes=result.signature.classes if result else (),
        slow_us={rollout.rollout: rollout.slow_us} if rollout and rollout.slow_us is not None else {},
        arms={rollout.rollout: (rollout.version, rollout.champion)} if rollout else {},
        started=rollout.planned_at if rollout else 0,
        bins=library.bins(result.reference) if result else (),
        origin=row.champion_at if row and result else 0,
        estimated=bool(expected.scores or expected.errors),
        positive=_plain(result.signature.classes[-1]) if result and result.signature.classes else 1.0,
        telling=tuple(part.column for part in expected.errors.columns) if expected.errors else (),
    )


def _plain(label: float | str) -> float | str:
    """A class as counts have it: numbers and booleans alike."""
    return label if isinstance(label, str) else float(label)
