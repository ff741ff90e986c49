"""What is tried of a version in an environment before the next one takes it: its whole path, as a caller goes it.

The gateway is asked, by the version's pinned name, for its newest rows: routing, checks of requests, views, transforms and model are those that
answer everybody. Nothing is mocked, and what cannot be tried is no pass.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from flyball.clock import Instant
from flyball.data.erasures import present
from flyball.data.rules import usable
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.errors import FlyballError
from flyball.ledger.bounds import clipped
from flyball.loop.online import wanted
from flyball.loop.ports import Ports, Probe
from flyball.loop.releases import in_force
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.data import DATASETS
from flyball.records.environments import VersionIntegrated
from flyball.records.integration import IntegrationCheck
from flyball.records.models import Signature
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState

ACTOR = "loop"
REQUESTS: Final = 20
"""How many of the newest rows are asked."""

ABOUT_S: Final = 5.0
"""As many of them are asked in one request as take about this long."""

Request = Mapping[str, Any]


class NoteIntegration(Record, frozen=True):
    """What was found when a version was tried."""

    id: str
    actor: str
    model: str
    version: str
    artifact: str
    checks: tuple[IntegrationCheck, ...]


def decide_note_integration(state: State, command: NoteIntegration, _now: Instant) -> Sequence[Event] | Refusal:
    """Noted of what answers now, when it is news: the same finding once more is none."""
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    if row is None or row.state is not VersionState.DEPLOYED or row.artifact != command.artifact:
        return ()
    if row.integration is not None and _plain(row.integration.checks) == _plain(command.checks):
        return ()
    return (VersionIntegrated(model=command.model, version=command.version, checks=command.checks),)


def _plain(checks: Sequence[IntegrationCheck]) -> list[tuple[str, bool, str]]:
    """Checks without what differs each time that they hold."""
    return [(check.name, check.passed, "" if check.passed else check.told) for check in checks]


def try_champion(ports: Ports, model: Model) -> None:
    """Try the version that answers, once it does everywhere and until it held: begun beside the loop in one pass, noted in a later one."""
    state, now, probe = ports.ledger.state(), ports.clock.now(), ports.probe
    roles = state.get(MODELS, model.name) or ModelRow(model=model.name)
    row = state.get(VERSIONS, f"{model.name}/{roles.champion}") if roles.champion else None
    if probe is None or row is None or row.state is not VersionState.DEPLOYED or (row.integration and row.integration.passed):
        return
    ref = f"{row.model}@{row.version}"
    answered = probe.ended(ref, roles.champion_at)
    if answered is None:
        if in_force(state, model.name) and probe.is_time(ref, now):
            probe.begin(ref, roles.champion_at, _trial(ports, probe, state, model, row))
        return
    checks = (*answered, _fresh(state, model), *_views(ports, state, model))
    command = NoteIntegration(
        id=ports.clock.new_id("cmd"), actor=ACTOR, model=row.model, version=row.version, artifact=row.artifact, checks=checks
    )
    if decide_note_integration(state, command, now):
        ports.ledger.execute(command, decide_note_integration)


def _trial(ports: Ports, probe: Probe, state: State, model: Model, row: VersionRow) -> Callable[[], tuple[IntegrationCheck, ...]]:
    """What is asked of a version, as it takes long: the rows are read by now."""
    signature = ports.library.signature(row.artifact)
    head = usable(state.get(DATASETS, model.data.name), model.data)
    fields = [field.name for field in signature.fields]
    try:
        columns = list(dict.fromkeys([*fields, *filter(None, [model.group])]))
        rows = probe.newest(model, columns, present(state, head.name, head.content), REQUESTS) if head else []
    except FlyballError as error:
        rows, why = [], f"{error.what}: {error.why}"
    else:
        why = f'data set "{model.data.name}" has no rows to ask'
    return partial(answers, probe, model.name, row.version, requests(rows, model, signature), signature, why)


def requests(rows: Sequence[Request], model: Model, signature: Signature) -> list[Request]:
    """What callers would send for these rows: each alone, or, of a ranking, the list that the newest row is in."""
    names = [field.name for field in signature.fields]
    if signature.task != "ranking":
        return [{name: row[name] for name in names} for row in rows]
    if not rows:
        return []
    of = [row for row in rows if row.get(model.group) == rows[-1].get(model.group)]
    shared = {name: of[-1][name] for name in names if name not in (signature.item, *signature.item_fields)}
    items = [{"item": row[signature.item], **{name: row[name] for name in signature.item_fields if name != signature.item}} for row in of]
    return [{**shared, "items": items}]


def answers(
    probe: Probe, model: str, version: str, asked: Sequence[Request], signature: Signature, why: str
) -> tuple[IntegrationCheck, ...]:
    """Whether every request is answered with what the signature says, and one by one as all at once."""
    name = "requests are answered"
    if not asked:
        return (IntegrationCheck(name=name, passed=False, told=clipped(why)),)
    try:
        began = time.monotonic()
        found = [probe.ask(model, version, [request]) for request in asked]
        most = _together(len(asked), time.monotonic() - began)
        # a list is ranked as a whole: there is no other way to ask for it
        together = probe.ask(model, version, asked[:most]) if signature.task != "ranking" else [row for each in found for row in each]
    except FlyballError as error:
        listed = "; ".join(str(problem) for problem in error.problems[:3])
        return (IntegrationCheck(name=name, passed=False, told=clipped(": ".join(filter(None, (error.what, error.why or listed))))),)
    if [len(each) for each in found] != [1] * len(asked) or len(together) != len(asked[:most]):
        told = f"{len(together)} answers to {len(asked[:most])} requests, and {', '.join(str(len(each)) for each in found)} to each"
        return (IntegrationCheck(name=name, passed=False, told=clipped(told)),)
    alone = [each[0] for each in found]
    wrong = next((said for each in alone if (said := strange(each, signature))), "")
    differ = sum(not same(one, other) for one, other in zip(alone, together, strict=False))
    told, of_them = (f"{number} of {len(alone)} of the newest rows" for number in (len(alone), len(together)))
    return (
        IntegrationCheck(name=name, passed=True, told=told),
        IntegrationCheck(name="answers are of the signature", passed=not wrong, told=clipped(wrong) or told),
        IntegrationCheck(
            name="alone as together", passed=not differ, told=f"{differ} of {len(together)} answers differ" if differ else of_them
        ),
    )


def _together(rows: int, alone_s: float) -> int:
    """How many rows are asked in one request, where all of them have taken so long one by one: a request of all may be more than anybody waits for."""
    return max(2, min(rows, int(rows * ABOUT_S / max(alone_s, 1e-9))))


def strange(answer: Request, signature: Signature) -> str:
    """What an answer has that its signature does not allow; empty if nothing."""
    if answer.get("fallback"):
        return f"a degraded answer: {answer['fallback']}"
    if signature.task == "ranking":
        scores = [item.get("score") for item in answer.get("items", ())]
        return "" if scores and all(_finite(score) for score in scores) else f"an item without a score: {scores[:3]}"
    value = answer.get("value")
    if signature.classes:
        return "" if value in signature.classes else f"{value!r} is none of {', '.join(map(str, signature.classes[:10]))}"
    return "" if _finite(value) else f"{value!r} is no number"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def same(one: Request, other: Request) -> bool:
    """Whether two answers to one request are equal, up to how a batch is added up."""
    first, second = ({name: value for name, value in each.items() if name in ("value", "score", "scores")} for each in (one, other))
    return first.keys() == second.keys() and all(_close(first[name], second[name]) for name in first)


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6) if numbers and float in (type(one), type(other)) else bool(one == other)


def _fresh(state: State, model: Model) -> IntegrationCheck:
    wrong = []
    for name in looked_at(model):
        row = state.get(DATASETS, name)
        if row is None or row.head is None:
            wrong.append(f"{name} has no version")
        elif row.stale_since:
            wrong.append(f"{name} is older than it may be")
        elif row.violations:
            wrong.append(f"the newest rows of {name} break its contract: {row.violations[0].splitlines()[0]}")
    told = "; ".join(wrong) or f"{', '.join(looked_at(model))}"
    return IntegrationCheck(name="data is fresh and holds its contract", passed=not wrong, told=clipped(told))


def _views(ports: Ports, state: State, model: Model) -> tuple[IntegrationCheck, ...]:
    """Whether the online store has what the model's views gave by the data's present version; nothing of a model without views."""
    if not model.features or ports.views is None:
        return ()
    needed = {name: each for name, each in wanted(state, ports.library).items() if model.name in each.models}
    try:
        behind = [name for name in ports.views.behind(needed) if name in needed]
    except FlyballError as error:
        return (IntegrationCheck(name="views are up to date", passed=False, told=clipped(f"{error.what}: {error.why}")),)
    told = f"{', '.join(behind)} behind" if behind else f"{len(needed)} of {len(needed)}"
    return (IntegrationCheck(name="views are up to date", passed=not behind, told=told),)
