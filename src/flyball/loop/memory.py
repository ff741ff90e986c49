"""What the loop counts between decisions: monitors and rollout evidence, with the cursor they were counted up to.

Operational, not decided: all of it can be counted again from the prediction log. Saved in one transaction with the cursor, so that
nothing is counted twice or left out, wherever the process dies. So is what each model's log is folded by, as its declaration said when it
was read last: one that cannot be read for a while leaves nothing out either. What was left out all the same is noted as a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from flyball.clock import Instant, Span
from flyball.loop import keeping
from flyball.loop.ports import Library, Memory
from flyball.monitoring import state as monitoring
from flyball.monitoring.heard import Heard
from flyball.monitoring.state import MonitorState
from flyball.monitoring.usage import Usage
from flyball.records import codec
from flyball.records.alerts import RAISED_BOUNDS
from flyball.records.base import State
from flyball.records.elsewhere import ELSEWHERE
from flyball.records.evidence import Batch, Cursor, Watch
from flyball.records.rollouts import RolloutEvidence, RolloutRow, rollouts_of
from flyball.records.training import RUNS, RunState
from flyball.records.versions import MODELS, VERSIONS, VersionState
from flyball.rollout.evidence import accumulate, follow_on

IDLE = Span.parse("1d")
"""The longest time between two looks when nothing is due."""

FORM = 6
"""Of all that is kept here. Whoever changes a field of it, or what one means, adds one: everything is counted again from the log then, and what
another version of flyball has counted is neither read nor changed. Without it, a field that is not known would stop the loop."""

_CURSOR, _MONITOR, _ROLLOUT, _DECLARED, _USAGE, _HEARD = "cursor", "monitor/", "rollout/", "declared/", "usage/", "heard"


@dataclass(frozen=True)
class Memories:
    """Everything counted so far. `source` is read through for models not asked for yet; `changed` names what is to be saved, `kept` how the
    monitors are stored.
    """

    source: Memory
    cursor: Cursor
    monitors: dict[str, MonitorState] = field(default_factory=dict)
    rollouts: dict[str, RolloutEvidence] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)
    kept: dict[str, keeping.Kept] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)
    listened: Heard | None = None
    changed: frozenset[str] = frozenset()

    def read_ahead(self, models: Sequence[str]) -> Memories:
        """The same, with what is asked of each of these models in every look read at once: a transaction for each row costs more than the row."""
        keys = [stored(kind + model) for model in models for kind in (_MONITOR, _USAGE, _DECLARED)]
        return replace(self, source=_Ahead(self.source, self.source.load_all(keys)))

    def monitor(self, model: str) -> MonitorState:
        """One model's monitors."""
        if model not in self.monitors:
            found = keeping.read(stored(_MONITOR + model), self.source.load)
            self.monitors[model], self.kept[model] = found or (MonitorState(model=model), keeping.Kept())
        return self.monitors[model]

    def stored_parts(self, model: str) -> keeping.Kept:
        """How one model's monitors are stored, whatever of them was changed since."""
        if model not in self.kept:
            found = keeping.read(stored(_MONITOR + model), self.source.load)
            self.kept[model] = found[1] if found else keeping.Kept()
        return self.kept[model]

    def evidence(self, rollout_id: str) -> RolloutEvidence:
        """One rollout's evidence."""
        if rollout_id not in self.rollouts:
            raw = self.source.load(stored(_ROLLOUT + rollout_id))
            self.rollouts[rollout_id] = codec.decode(raw, RolloutEvidence) if raw else RolloutEvidence()
        return self.rollouts[rollout_id]

    def usage(self, model: str) -> Usage:
        """What one model's workers have taken."""
        if model not in self.usages:
            raw = self.source.load(stored(_USAGE + model))
            self.usages[model] = codec.decode(raw, Usage) if raw else Usage(model=model)
        return self.usages[model]

    def with_usage(self, usage: Usage) -> Memories:
        """The same with one model's usage replaced."""
        if usage == self.usage(usage.model):
            return self
        return replace(self, usages={**self.usages, usage.model: usage}, changed=self.changed | {_USAGE + usage.model})

    @property
    def heard(self) -> Heard:
        """When gateways listened."""
        if self.listened is not None:
            return self.listened
        raw = self.source.load(stored(_HEARD))
        return codec.decode(raw, Heard) if raw else Heard()

    def with_heard(self, heard: Heard) -> Memories:
        """The same with what gateways have told of it by now."""
        return replace(self, listened=heard, changed=self.changed | ({_HEARD} if heard != self.heard else set()))

    def declared(self, model: str) -> Watch | None:
        """What the declaration of a model said of folding its log when it was read last; None if it never was."""
        if model not in self.watches:
            raw = self.source.load(stored(_DECLARED + model))
            if raw is None:
                return None
            self.watches[model] = codec.decode(raw, Watch)
        return self.watches[model]

    def with_declared(self, watch: Watch) -> Memories:
        """The same with what a model's declaration says now."""
        if watch == self.declared(watch.model):
            return self
        return replace(self, watches={**self.watches, watch.model: watch}, changed=self.changed | {_DECLARED + watch.model})

    def inherited(self, row: RolloutRow, state: State) -> Memories:
        """Evidence for a rollout that has none yet: what spoke against the same version in an earlier attempt still does."""
        if row.attempt <= 1 or row.rollout in self.rollouts or self.source.load(stored(_ROLLOUT + row.rollout)):
            return self
        earlier = [past for past in rollouts_of(state, row.model, row.version) if past != row]
        newest = max(earlier, key=lambda past: past.planned_at, default=None)
        started = follow_on(self.evidence(newest.rollout) if newest else None)
        return replace(self, rollouts={**self.rollouts, row.rollout: started}, changed=self.changed | {_ROLLOUT + row.rollout})

    def with_monitor(self, state: MonitorState) -> Memories:
        """The same with one model's monitors replaced."""
        return replace(self, monitors={**self.monitors, state.model: state}, changed=self.changed | {_MONITOR + state.model})

    def with_batch(self, batch: Batch, cursor: Cursor, active: Mapping[str, RolloutRow | None], watches: Mapping[str, Watch]) -> Memories:
        """Add one batch to every count it belongs to. A batch without content changes nothing but the cursor.

        active: the rollout, if any, of each model that answers; of these, what was not counted is noted as a gap.
        """
        if not batch.holds:
            return self if cursor == self.cursor else replace(self, cursor=cursor)
        kept, heard = replace(self, cursor=cursor, changed=self.changed | {_CURSOR}), self.heard
        for model in batch.uncounted.keys() & active.keys():
            kept = kept.with_monitor(monitoring.uncounted(kept.monitor(model), batch.uncounted[model], batch.until))
        for model in watches if batch.gaps else ():
            kept = kept.with_monitor(monitoring.gapped(kept.monitor(model), batch.gaps, batch.until))
        for model in batch.models & set(watches):
            kept = kept.with_monitor(monitoring.absorb(kept.monitor(model), batch, watches[model].bins, heard))
            row = active.get(model)
            if row is not None:
                grown = accumulate(kept.evidence(row.rollout), batch, row)
                kept = replace(kept, rollouts={**kept.rollouts, row.rollout: grown}, changed=kept.changed | {_ROLLOUT + row.rollout})
        return kept


class _Ahead:
    """A memory of which some rows were read already. What reads one again after it was changed meanwhile (`keeping.read`) gets it from the store."""

    def __init__(self, source: Memory, rows: dict[str, bytes | None]) -> None:
        self._source = source
        self._rows = rows

    def load(self, key: str) -> bytes | None:
        return self._rows.pop(key) if key in self._rows else self._source.load(key)

    def load_all(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        return {key: self.load(key) for key in keys}

    def save(self, items: Mapping[str, bytes | None]) -> None:
        self._source.save(items)


def stored(key: str) -> str:
    """The key under which a part is kept: of this form."""
    return f"{FORM}/{key}"


def load(memory: Memory) -> Memories:
    """What was saved last."""
    raw = memory.load(stored(_CURSOR))
    return Memories(source=memory, cursor=_cursor(raw) if raw else Cursor())


@lru_cache(maxsize=8)
def _cursor(raw: bytes) -> Cursor:
    # most looks find what the last one found
    return codec.decode(raw, Cursor)


def save(memory: Memory, kept: Memories) -> Memories:
    """Write what changed, in one transaction."""
    if not kept.changed:
        return kept
    items: dict[str, bytes | None] = {}
    known = dict(kept.kept)
    for key in kept.changed:
        if key.startswith(_MONITOR):
            model = key.removeprefix(_MONITOR)
            rows, known[model] = keeping.write(key, kept.monitors[model], kept.stored_parts(model))
            items.update(rows)
        elif key.startswith(_ROLLOUT):
            items[key] = codec.encode(kept.rollouts[key.removeprefix(_ROLLOUT)])
        elif key.startswith(_USAGE):
            items[key] = codec.encode(kept.usages[key.removeprefix(_USAGE)])
        elif key == _HEARD:
            items[key] = codec.encode(kept.heard)
        elif key.startswith(_DECLARED):
            items[key] = codec.encode(kept.watches[key.removeprefix(_DECLARED)])
    items[_CURSOR] = codec.encode(kept.cursor)
    memory.save({stored(key): body for key, body in items.items()})
    return replace(kept, kept=known, changed=frozenset())


def recent_latency(state: MonitorState, least: int = 2_000) -> dict[int, int]:
    """Latencies of the champion's last `least` requests or a little more, as `Traffic.latency` counts them."""
    found: dict[int, int] = {}
    total = 0
    for slab in reversed(state.slabs):
        if total >= least:
            break
        total += sum(slab.latency.values())
        for cell, count in slab.latency.items():
            found[cell] = found.get(cell, 0) + count
    return found


def synced(kept: Memories, model: str, state: State, library: Library, now: Instant) -> Memories:
    """The monitors of a model follow its champion: a new one brings its own bound, and a failed attempt restarts the detector."""
    row = state.get(MODELS, model)
    champion = state.get(VERSIONS, f"{model}/{row.champion}") if row and row.champion else None
    if row is None:
        return _followed(kept, model, state, now)
    if champion is None:
        return kept
    known = kept.monitor(model)
    if known.version != champion.version:
        result = library.result(champion.result)
        changed = monitoring.released(
            known,
            champion.version,
            result.loss_bound,
            now,
            loss_cap=result.loss_cap,
            page_m0=result.wakes_at,
            swing=result.page_swing,
            at_release=result.metrics,
            baseline=result.baseline,
        )
        return kept.with_monitor(monitoring.tried(changed, row.last_attempt_at))
    if (higher := _raised(known, state)) is not known:
        known = higher
        kept = kept.with_monitor(known)
    if row.last_attempt_at > known.tried_at:
        known = monitoring.tried(known, row.last_attempt_at)
        kept = kept.with_monitor(known)
    run = state.get(RUNS, row.last_run) if row.last_run else None
    over = run is not None and run.state not in (RunState.QUEUED, RunState.RUNNING)
    newest = state.get(VERSIONS, f"{model}/{row.newest}") if row.newest else None
    undecided = newest is not None and newest.state in (VersionState.ELIGIBLE, VersionState.DEPLOYED) and newest.version != row.champion
    if known.retrain.alarmed_at and row.last_attempt_at >= known.retrain.alarmed_at and over and not undecided:
        return kept.with_monitor(monitoring.attempted(known))
    return kept


def _raised(known: MonitorState, state: State) -> MonitorState:
    """The same, or with the bound that a person's word has raised since."""
    row = state.get(RAISED_BOUNDS, f"{known.model}/{known.version}")
    if row is None or row.incident == known.raised_by:
        return known
    return monitoring.raised(known, row.bound, row.swing, row.incident)


def _followed(kept: Memories, model: str, state: State, now: Instant) -> Memories:
    """The monitors of a model that is served elsewhere follow the version that has a reference, and what is known by now of how good it was."""
    row = state.get(ELSEWHERE, model)
    if row is None or not row.watched:
        return kept
    known = kept.monitor(model)
    if (known.version, known.m0, known.loss_cap, known.reference) == (row.watched, row.loss_bound, row.loss_cap, row.reference):
        higher = _raised(known, state)
        return kept if higher is known else kept.with_monitor(higher)
    new = monitoring.released(known, row.watched, row.loss_bound, now, loss_cap=row.loss_cap, at_release=row.metrics)
    # it was released when its first prediction was made, and not when it was known what is normal for it
    behind = kept.cursor if kept.cursor.offsets else None
    return kept.with_monitor(msgspec.structs.replace(new, released_at=row.watched_since, reference=row.reference, behind=behind))
