"""What `flyball check` says of power: what each gate can see on the hold-out, and how long live evidence takes at the traffic there is.

It rests on what the last run stored; before the first one, on the rows of the data where they are read. What is assumed is called so.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import polars as pl

from flyball.clock import Instant, Span
from flyball.declare.checks import AnyOf, Check, Reference
from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.framing import in_force
from flyball.declare.live import label_delay, loss_metric, untested
from flyball.declare.model import Model
from flyball.errors import BadInput, Corrupt, NotFound, Problem, Unavailable
from flyball.evaluation import power
from flyball.evaluation.comparison import number
from flyball.evaluation.holdout import Holdout
from flyball.features.fields import declared_values
from flyball.loop.enough import is_counted, is_known, longer, of_gates, of_suites
from flyball.loop.memory import load
from flyball.loop.ports import Ports
from flyball.loop.tally import DAY, Rate, Tally
from flyball.monitoring.slabs import within
from flyball.monitoring.state import PAGE_DAYS, MonitorState
from flyball.monitoring.windows import FAST_ROWS
from flyball.records.data import DATASETS, DatasetVersion
from flyball.records.declarations import DECLARATIONS
from flyball.records.training import RunResult
from flyball.records.versions import MODELS, VERSIONS, VersionState
from flyball.stats.drift import fast_enough
from flyball.stats.edetector import threshold
from flyball.training.rows import GROUP

_WEEK = Span.parse("7d")
_FEWEST = 100
"""Labels, or requests, from which on their rate is taken for what comes."""

_TELLING = 200
"""Slices that a document lists of one gate, those first that see least."""


@dataclass(frozen=True)
class Known:
    """What is known of a model beside its declaration: its last version's result with the hold-out's rows, and its traffic.

    `fast`: columns whose drift is looked for in windows of 1,000 rows, and all that have a reference. `detector`: whether the loss is looked at.
    """

    version: str = ""
    result: RunResult | None = None
    frame: pl.DataFrame | None = None
    rate: Rate | None = None
    fast: tuple[int, int] = (0, 0)
    detector: bool = True


class Line(NamedTuple):
    """A line of the check, and the same for machines."""

    text: str
    document: dict[str, Any]


class Told(NamedTuple):
    """The lines on power, and where what is asked for cannot be shown."""

    lines: tuple[Line, ...] = ()
    doubts: tuple[Problem, ...] = ()


class _Bytes(Protocol):
    def get(self, digest: str) -> bytes: ...


def known_of(ports: Ports, blobs: _Bytes, name: str) -> Known:
    """What the ledger has of a model. What cannot be read any more is left out: it is a doubt of others, not of power."""
    state, now = ports.ledger.state(), ports.clock.now()
    row = state.get(MODELS, name)
    version = state.get(VERSIONS, f"{name}/{row.newest}") if row is not None and row.newest else None
    kept = load(ports.memory).monitor(name)
    recent = within(kept.slabs, now - _WEEK, now).n
    rate = _traffic(kept, recent, now)
    if version is None or version.state is VersionState.DELETED:
        return Known(rate=rate, detector=ports.detector)
    try:
        result = ports.library.result(version.result)
        frame = pl.read_parquet(io.BytesIO(blobs.get(result.evidence))) if result.evidence else None
    except (NotFound, Corrupt, Unavailable):
        return Known(version.version, rate=rate, detector=ports.detector)
    if rate is None:
        declared = state.get(DECLARATIONS, name)
        own = ports.library.model(declared.body).data.name if declared is not None else ""
        head = _head(ports, own)
        rate = _of_rows(head.rows, head.first, head.last, own, asked=recent) if head is not None else None
    return Known(version.version, result, frame, rate, _fast(ports, result), ports.detector)


def _fast(ports: Ports, result: RunResult) -> tuple[int, int]:
    try:
        bins = ports.library.bins(result.reference)
    except (NotFound, Corrupt, Unavailable):
        return 0, 0
    return sum(fast_enough(one, FAST_ROWS) for one in bins), len(bins)


def _head(ports: Ports, data: str) -> DatasetVersion | None:
    row = ports.ledger.state().get(DATASETS, data)
    return row.head if row is not None else None


def _traffic(kept: MonitorState, recent: int, now: Instant) -> Rate | None:
    """What comes, as far as enough has come to tell. `recent`: requests of the last week."""
    if kept.labels >= _FEWEST:
        return Rate(kept.labels_per_day, "labels a day, as they come since the release")
    if recent < _FEWEST:
        return None
    began = max(now - _WEEK, min(slab.start for slab in kept.slabs) * 60_000_000)
    return Rate(recent * DAY / max(now - began, 60_000_000), "requests a day, as they come (each of them labelled)")


def _of_rows(rows: int, first: Instant, last: Instant, data: str, *, asked: int) -> Rate | None:
    """Rows a day, where the requests that came, `asked` of them, are too few to go by."""
    few = f" (too few requests yet to go by: {asked})" if asked else ""
    return Rate(rows * DAY / (last - first), f'rows a day of data set "{data}"{few}') if last > first else None


def tell(model: Model, known: Known, counted: Mapping[str, Tally] = MappingProxyType({}), *, place: str = "") -> Told:
    """Everything on power that can be said of a model now. `counted`: the rows that were read, by data set."""
    tally = counted.get(model.data.name)
    full = in_force(model)
    gates = [(f"/gates/{at}" if at < len(model.gates) else "", check) for at, gate in enumerate(full.gates) for check in _checks(gate)]
    if is_elsewhere(model):
        # no version of it is judged or released
        return Told((), ())
    paired = [(at, check) for at, check in gates if power.is_paired(check, model.task)]
    guards = [guard for guard in full.rollout.guards if guard.metric.name == loss_metric(model.task) and not untested(guard, model.task)]
    guards = [guard for guard in guards if isinstance(guard.bound, Reference)] if full.rollout.steps else []
    holdout = holdout_of(model, known)
    rate = known.rate or (tally.rate() if tally is not None else None)
    lines: list[Line] = []
    doubts: list[Problem] = []
    for at, check in paired:
        found = _power(model, check, holdout, tally)
        lines.append(_gate_line(check, found))
        doubts += _gate_doubts(model, at, found, place) if found is not None else []
    cap = known.result.loss_cap if known.result is not None else 1.0
    for guard in guards:
        promoted = power.of_guard(guard, holdout, cap)
        if promoted is not None:
            lines.append(_promotion_line(promoted, rate, read=tally is not None))
            doubts += _promotion_doubts(model, promoted, rate, place)
    if holdout is not None and known.result is not None and rate is not None:
        a = threshold(rate.per_day, PAGE_DAYS)
        checks = [*(check for _, check in paired), *guards]
        discovered = power.discoveries(checks, holdout, bound=known.result.wakes_at, cap=cap, threshold=a, swing=known.result.page_swing)
        lines += [_discovery_line(one, rate) for one in discovered]
    whose = f'{place}  Model "{model.name}"'.strip()
    if tally is not None:
        doubts += of_gates(model, tally, declared_values(model), said={doubt.at for doubt in doubts}, whose=whose)
    return Told(tuple(lines), (*doubts, *of_suites(model, counted, whose=whose)))


def _checks(gate: object) -> Iterable[Check]:
    parts: Sequence[object] = gate.checks if isinstance(gate, AnyOf) else (gate,)
    return [part for part in parts if isinstance(part, Check)]


def holdout_of(model: Model, known: Known) -> Holdout | None:
    """The rows that judged the last version, as they answer what is declared now; None where they do not."""
    frame, result = known.frame, known.result
    if frame is None or result is None or result.signature.task != model.task or not {"y", "value"} <= {*frame.columns}:
        return None
    group = GROUP if GROUP in frame.columns else ""
    if model.task == "ranking" and not group:
        return None
    return Holdout(
        frame,
        model.task,
        classes=result.signature.classes,
        group=group,
        costs={name: each.amount for name, each in model.costs.items()},
        declared=declared_values(model),
    )


def _power(model: Model, check: Check, holdout: Holdout | None, tally: Tally | None) -> power.GatePower | None:
    if holdout is not None:
        try:
            return power.of_gate(check, holdout)
        except BadInput:
            # the label was declared anew since that run
            return None
    # rows of one group are one unit, and how many groups there are is not counted
    if tally is None or model.train is None or model.group or not is_known(model, tally):
        return None
    if not all(is_counted(model, name) for name in check.metric.slices):
        return None
    return power.of_counts(check, tally.held(model.train, check.metric.slices, delay=int(model.label_delay)))


def _word(check: Check) -> str:
    return "drop" if check.op in (">=", ">") else "rise"


def _gate_line(check: Check, found: power.GatePower | None) -> Line:
    if found is None:
        why = "what it can see is not known before a run of this declaration has measured it"
        return Line(f'"{check}": {why}', {"kind": "gate", "check": str(check), "smallest": None, "why": why})
    worst = found.worst
    where = f" in {worst.slice}" if worst.slice else ""
    size = worst.lacking or f"n={worst.n:,}"
    if worst.smallest is None:
        text = f'"{check}": what it can see{where} is not known: {worst.why} ({size})'
    else:
        more = f"; {sum(one.shows for one in found.seen)} of {len(found.seen)} slices show {number(worst.margin)}" if worst.slice else ""
        better = ": it asks for an improvement, by that much more" if worst.margin is not None and worst.margin <= 0 else ""
        lack = ": insufficient" if worst.lacking else ""
        text = f'"{check}" can see a {_word(check)} of {number(worst.smallest)}{where} with this hold-out ({size}{lack}{more}; {found.basis}){better}'
    ordered = sorted(found.seen, key=lambda one: (not one.lacking, -(one.smallest if one.smallest is not None else math.inf)))
    seen = [
        {"slice": one.slice, "n": one.n, "smallest": one.smallest, "margin": one.margin, "shows": one.shows, "why": one.lacking or one.why}
        for one in ordered[:_TELLING]
    ]
    head = {"kind": "gate", "check": str(check), "smallest": worst.smallest, "basis": found.basis}
    return Line(text, head | {"seen": seen, "unlisted": len(ordered) - len(seen)})


def _gate_doubts(model: Model, at: str, found: power.GatePower, place: str) -> list[Problem]:
    """δ < δ_min: an equal version would often be held. What asks for an improvement does so knowingly, but for a margin of exactly 0."""
    if found.basis != "measured" and found.check.metric.name != "accuracy":
        # how much versions of this model differ is anybody's guess: no reason to tell people off
        return []
    short = [one for one in found.seen if one.margin is not None and one.margin >= 0 and not one.shows and (one.smallest or one.lacking)]
    if not short:
        return []
    worst = max(short, key=lambda one: (bool(one.lacking), one.smallest or 0.0))
    where = f" in {worst.slice}" if worst.slice else ""
    many = f" ({len(short)} of {len(found.seen)} slices)" if worst.slice else ""
    least = f"the least that it can show{where} is {number(worst.smallest)}, n={worst.n:,}{many}; {found.basis}"
    return [
        Problem(
            f'{place}  Model "{model.name}"'.strip(),
            f'gates "{found.check}": its margin is smaller than what the hold-out can show',
            f"{least}: an equal version would pass less often than 4 times in 5",
            _longer(model, found.check, worst),
            at,
        )
    ]


def _longer(model: Model, check: Check, seen: power.Seen) -> str:
    """The hold-out that would do: δ_min falls with the root of its rows. Else the margin, as it is declared."""
    wider, bound = f"a margin of {number(seen.smallest)}" if seen.smallest is not None else "a wider margin", check.bound
    if seen.smallest is not None and seen.margin and isinstance(bound, Reference) and bound.times != 1 and not bound.plus:
        wider = f"{bound.of} × {number(1 + (bound.times - 1) * seen.smallest / seen.margin)}"
    if model.train is None or not seen.margin or seen.smallest is None or not seen.n:
        return f"{wider}, or a longer hold-out"
    more = longer(model, model.train, max((seen.smallest / seen.margin) ** 2, _FEWEST / seen.n))
    return f"{more}; or {wider}" if more else f"{wider}: no hold-out of ten years would do"


def _promotion_line(found: power.Promotion, rate: Rate | None, *, read: bool) -> Line:
    middle, most = found.labels
    text = f'"{found.check}" promotes an equal version after about {middle:,.0f} labels, 9 in 10 by {most:,.0f}{_time(middle, rate, read=read)} ({found.basis})'
    document = {"kind": "promotion", "check": str(found.check), "margin": found.margin, "labels": middle, "labels_p90": most}
    return Line(text, document | {"basis": found.basis} | _timed(middle, most, rate))


def _promotion_doubts(model: Model, found: power.Promotion, rate: Rate | None, place: str) -> list[Problem]:
    rollout = model.rollout
    if rollout.evidence != "live" or rate is None or rate.per_day <= 0:
        return []
    longest = Span(sum(step.bake for step in rollout.steps) + rollout.give_up)
    needed = found.labels[0] * DAY / rate.per_day + label_delay(model)
    if needed <= longest:
        return []
    return [
        Problem(
            f'{place}  Model "{model.name}"'.strip(),
            f'guards "{found.check}": labels are too few to promote an equal version in time',
            f"it takes about {found.labels[0]:,.0f} labels, {_span(needed)} at {_rate(rate)}, and an undecided release is given up after {longest.brief}",
            'rest on the paired gate: evidence="gate"; a wider margin; or wait longer: give_up=',
            "/rollout",
        )
    ]


def _discovery_line(found: power.Discovery, rate: Rate) -> Line:
    middle, most = found.labels
    word = "drop" if found.metric == "accuracy" else "rise"
    what = f"a {word} of {number(found.drop)} in {found.metric}"
    document = {"kind": "detection", "metric": found.metric, "drop": found.drop}
    if not math.isfinite(middle):
        unsure = f"the hold-out says {number(found.value)}, and {number(found.unsure)} may be true as well: a longer one narrows that"
        text = f"{what} is not found: {unsure}"
        return Line(text, document | {"labels": None, "labels_p90": None} | _timed(math.inf, math.inf, rate))
    late = f", 9 in 10 by {most:,.0f}" if math.isfinite(most) else ""
    text = f"{what} is found after about {middle:,.0f} labels{late}{_time(middle, rate)}"
    return Line(text, document | {"labels": middle, "labels_p90": most if math.isfinite(most) else None} | _timed(middle, most, rate))


def _time(labels: float, rate: Rate | None, *, read: bool = True) -> str:
    """How long so many labels take. `read`: whether the data were, for where nothing says how many come."""
    if rate is None or rate.per_day <= 0:
        rows = "the rows that were read have no time" if read else "no rows were read: flyball check --data reads them"
        return f"; how long that takes is not known: there is no traffic yet, and {rows}"
    return f": {_span(labels * DAY / rate.per_day)} at {_rate(rate)}"


def _rate(rate: Rate) -> str:
    return f"{number(rate.per_day)} {rate.of}"


def _span(micros: float) -> str:
    return Span(min(round(micros), 2**53 - 1)).brief


def _timed(middle: float, most: float, rate: Rate | None) -> dict[str, Any]:
    """For machines: the days that so many labels take, and at which rate."""
    if rate is None or rate.per_day <= 0:
        return {"days": None, "days_p90": None, "per_day": None, "traffic": ""}
    days = [round(each / rate.per_day, 3) if math.isfinite(each) else None for each in (middle, most)]
    return {"days": days[0], "days_p90": days[1], "per_day": round(rate.per_day, 3), "traffic": rate.of}
