"""Which feature views the online store shall hold, and how one of them is brought up to its data set's version.

Wanted are the views of what is declared, and of every version that takes part in a route: an older definition of a view stays as long as
a version that was made with it answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from flyball.clock import Instant
from flyball.data.erasures import present, standing
from flyball.data.rules import is_pushed
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import Corrupt, FlyballError, NotFound, Unavailable
from flyball.governance.authority import Caller
from flyball.loop.ports import Library, Ports
from flyball.records.base import State
from flyball.records.data import DATASETS, DatasetVersion
from flyball.records.declarations import DECLARATIONS
from flyball.records.online import ViewsStatus, ViewStatus
from flyball.records.serving import ROUTES
from flyball.records.training import RUNS
from flyball.records.versions import MODELS, VERSIONS

if TYPE_CHECKING:
    import polars as pl

    from flyball.data.additions import Apart
    from flyball.data.sources.pushed import PushedRows
    from flyball.features.online.materialise import At, Report
    from flyball.features.online.plan import Plan
    from flyball.store.online import Generation, OnlineStore

    Load: TypeAlias = Callable[[str, Sequence[str]], pl.DataFrame]
    Pushed: TypeAlias = Callable[[Dataset, int], PushedRows]
    Differ: TypeAlias = Callable[[str, str, Sequence[str], str, int], Apart | None]


PATIENCE_S = 60.0
"""How long another process may take to bring the views up."""


@dataclass(frozen=True)
class Rows:
    """Where rows come from. `load`: those under a content hash, these columns of them. `pushed`: those that were pushed to a data set after a
    row of this number. `apart`: what two contents do not share, as `data.additions.apart` tells it. `load` and `apart` raise
    NotFound, Corrupt; `pushed` BadInput, Corrupt.
    """

    load: Load
    pushed: Pushed
    apart: Differ


@dataclass(frozen=True)
class Wanted:
    """A view that is to be online. `content`: where the rows of its data set's newest version lie (empty: there is none yet).

    `as_of`: when the newest of them was known. `models` read it. `through`: the last pushed row that the version holds. `pushes`: whether rows
    that were pushed since may be taken up before a version holds them.
    """

    view: FeatureView
    content: str
    as_of: Instant
    models: tuple[str, ...]
    through: int = 0
    pushes: bool = False


def wanted(state: State, library: Library) -> dict[str, Wanted]:
    """Every view that is to be online, under its name in the store. What cannot be read now is left out."""
    found: dict[str, Wanted] = {}
    for model in _models(state, library):
        for view in model.features:
            # models without views do without data frames
            from flyball.features.online.plan import name

            key = name(view)
            models = tuple(sorted({model.name, *(found[key].models if key in found else ())}))
            row = state.get(DATASETS, view.data.name)
            head = row.head if row is not None else None
            content = present(state, view.data.name, head.content) if head is not None else ""
            through, pushes = _pushes(state, view.data, head)
            found[key] = Wanted(view, content, head.as_of if head is not None else 0, models, through, pushes)
    return found


def _pushes(state: State, data: Dataset, head: DatasetVersion | None) -> tuple[int, bool]:
    """The last pushed row that the newest version holds, and whether others may be taken up before a version holds them.

    Where a row may replace another, or be of a person who was erased, only the making of a version tells what counts.
    """
    if not is_pushed(data):
        return 0, False
    # models of other sources do without data frames
    from flyball.data.sources.pushed import through

    return through(head, data), not data.unique and not standing(state, data.name)[0]


def _models(state: State, library: Library) -> Iterator[Model]:
    bodies: dict[str, None] = {row.body: None for _, row in state.scan(DECLARATIONS)}
    for model, row in state.scan(ROUTES):
        arms = (*row.route.arms, *row.route.shadows, *row.route.warm)
        known = state.get(MODELS, model)
        newest = (known.champion, known.former, known.newest) if known is not None else ()
        for version in {*(arm.version for arm in arms), *newest} - {""}:
            bodies |= dict.fromkeys(_declaration(state, library, f"{model}/{version}"))
    for body in bodies:
        with suppress(FlyballError):
            yield library.model(body)


def _declaration(state: State, library: Library, version: str) -> Iterable[str]:
    """The declaration that a version was made from, where it can be read."""
    row = state.get(VERSIONS, version)
    run = state.get(RUNS, row.run) if row is not None else None
    with suppress(FlyballError):
        return (library.spec(run.spec).declaration,) if run is not None else ()
    return ()


def _nobody(_done: int, _of: int) -> None:
    """Nobody looks how far it is."""


def bring_up(store: OnlineStore, want: Wanted, rows: Rows, now: Instant, report: Report = _nobody, *, whole: bool = False) -> At | None:
    """Bring a view to its data set's newest version: by the rows that were added, or whole where any was changed or removed, or `whole` is
    asked for. Rows that were pushed since follow.

    None: there is no version yet. Raises Unavailable, Conflict, BadInput, NotFound, Corrupt.
    """
    from flyball.features.online import encode, materialise
    from flyball.features.online.plan import plan

    if not want.content:
        return None
    made = plan(want.view)
    at = None if whole else materialise.live(store, made)
    if at is None or at.progress.content != want.content:
        added = None if at is None else _added(at, want, rows, encode.columns(made))
        if at is None or added is None:
            version = materialise.Version(want.content, rows.load(want.content, encode.columns(made)), want.through)
            at = materialise.fill(store, made, version, now, report)
        else:
            fresh, count = added
            at = materialise.add(store, made, at, materialise.Version(want.content, fresh, want.through), now, rows=count)
    return _with_pushed(store, made, at, want, rows, now) if want.pushes else at


def _with_pushed(store: OnlineStore, made: Plan, at: At, want: Wanted, rows: Rows, now: Instant) -> At:
    """Take up what was pushed since."""
    from flyball.features.online import encode, materialise

    found = rows.pushed(want.view.data, at.progress.pushed)
    if found.missed or not 0 < found.frame.height <= materialise.ROWS:
        # what is missed, or is much, comes with its version
        return at
    version = materialise.Version(at.progress.content, found.frame.select(encode.columns(made)), at.progress.through)
    return materialise.add(store, made, at, version, now, rows=at.progress.rows + found.frame.height, pushed=found.cursor)


def _added(at: At, want: Wanted, rows: Rows, columns: Sequence[str]) -> tuple[pl.DataFrame, int] | None:
    """What was added since the version that the store holds, without pushed rows that it has already, and how many rows there are in all; None where
    that cannot be told, something else has changed, or it is too much.
    """
    from flyball.features.online import encode, materialise

    progress, data = at.progress, want.view.data
    try:
        found = rows.apart(progress.content, want.content, columns, data.time, materialise.ROWS)
    except (NotFound, Corrupt):
        return None
    added = None if found is None else materialise.added(found.before, found.after, encode.ties(want.view))
    if found is None or added is None:
        return None
    if progress.pushed > progress.through:
        every, newer, since = (rows.pushed(data, row) for row in (progress.through, progress.pushed, want.through))
        there = every.frame.height - max(newer.frame.height, since.frame.height)
        added = None if every.missed else materialise.added(every.frame.head(there).select(columns), added)
    return None if added is None else (added, found.rows)


def status(name: str, want: Wanted, generations: Iterable[Generation], problem: str = "") -> ViewStatus:
    """How far a view is, by its name in the store and what is there."""
    from flyball.features.online.progress import read

    own = [(each.live, at) for each in generations if each.view == name and (at := read(each.cursor)) is not None]
    at = next((at for live, at in own if live), None)
    filling = next((at for live, at in own if not live), None)
    view = want.view
    behind = None if at is None else 0 if at.content == want.content else max(0, want.as_of - at.as_of)
    return ViewStatus(
        view=view.name,
        digest=name.partition("@")[2].partition(".")[0],
        data=view.data.name,
        entity=view.entity,
        features=tuple(view.features),
        ttl=None if view.ttl is None else int(view.ttl),
        owner=view.owner,
        models=want.models,
        state="live" if at is not None else "filling" if filling is not None else "none",
        content=at.content if at is not None else "",
        rows=at.rows if at is not None else 0,
        # a row about a time to come was not known by then
        as_of=min(at.as_of, at.made_at) if at is not None else 0,
        made_at=at.made_at if at is not None else 0,
        newest=want.content,
        lag=behind,
        filled=0 if filling is None else filling.done if filling.since is None else filling.remade,
        problem=problem,
    )


def noted(note: Path) -> ViewsStatus:
    """What the loop wrote of all views (run/views.json); nothing where there is no such file, or one of another flyball."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(note.read_bytes(), type=ViewsStatus)
    return ViewsStatus()


def seen(told: ViewsStatus, caller: Caller) -> list[ViewStatus]:
    """The views that somebody may see: with a token for some models, those that one of these reads."""
    return [each for each in told.views if caller.is_for_all or any(caller.covers(model) for model in each.models)]


def brought_up(ports: Ports) -> list[str]:
    """Bring every view to its data set's version now, in this process or by waiting for the one that does. What is still behind after a
    minute, by name.

    What no model reads any more is removed: it may hold what was erased.
    """
    if ports.views is None:
        return []
    until = time.monotonic() + PATIENCE_S
    while True:
        want = wanted(ports.ledger.state(), ports.library)
        ports.views.keep(want)
        ports.views.finish()
        try:
            ports.views.forget_others(want)
            behind = ports.views.behind(want)
        except Unavailable as problem:
            return [problem.what]
        if not behind or time.monotonic() > until:
            return [name.partition("@")[0] for name in behind]
        time.sleep(0.1)


def unused(names: Iterable[str], known: Mapping[str, Wanted], since: dict[str, Instant], now: Instant, after: int) -> list[str]:
    """The views of the store that nobody has wanted for `after` µs. `since` is kept by the caller: from when on each was not wanted."""
    there = set(names)
    for name in [*since]:
        if name in known or name not in there:
            del since[name]
    for name in there - known.keys():
        since.setdefault(name, now)
    return sorted(name for name, at in since.items() if now - at >= after)
