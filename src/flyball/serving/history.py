"""What the views of a model gave up to now: read from the online store for each batch, as new rows come into it, by a worker that holds none.

A store that does not answer is not asked again for a moment: every question in that time fails at once, and none waits for another's timeout.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from flyball.clock import FARTHEST, Span
from flyball.declare.codec import view_digest
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import Unavailable
from flyball.features.assemble import PreparedHistory
from flyball.features.online.kept import not_kept
from flyball.features.online.plan import name
from flyball.features.online.progress import Progress, kept_from, read
from flyball.features.online.read import Fetch, OnlineView
from flyball.serving.layout import Layout, read_json
from flyball.serving.vectors import TakenUp, Views, packed
from flyball.store.online import OnlineStore, Part
from flyball.store.online_address import open_online

AnswerT = TypeVar("AnswerT")

RETRY_S = 1.0
"""How long a store that did not answer is left alone."""


AHEAD: Final = Span.parse("1m")
"""How long after a look at the store moments of the present are answered without another one."""


class _Written(OnlineView):
    """A view that is written while it is read. What lies further back than it is kept from now on may be gone since `look` was made last."""

    def __init__(self, view: FeatureView, fetch: Fetch, look: Callable[[], object]) -> None:
        super().__init__(view, fetch)
        self.sure_from = FARTHEST
        self._look = look

    def rows(self, keys: Sequence[bytes | None], moments: Sequence[int], bounds: Sequence[int]) -> list[Sequence[Any]]:
        """As `OnlineView.rows`; of moments that are long ago only where the store kept them until they were read."""
        found = super().rows(keys, moments, bounds)
        if moments and (oldest := min(moments)) < self.sure_from:
            self._look()
            if oldest < self.kept_from:
                raise not_kept(self.view.name, oldest, self.kept_from)
        return found


class History:
    """A model's views as the online store has them; `refresh` looks at how far they are."""

    def __init__(self, model: Model, store: Callable[[], OnlineStore], monotonic: Callable[[], float] = time.monotonic) -> None:
        """store: opens the online store; a model without views never asks for it."""
        self._model = model
        self._open = store
        self._monotonic = monotonic
        self._store: OnlineStore | None = None
        self._failed: Unavailable | None = None
        self._failed_at = 0.0
        self._progress: dict[str, Progress] = {}
        self._online = tuple(_Written(view, self._fetch, self.refresh) for view in model.features)
        self.problem = ""
        self.absent: tuple[str, ...] = ()
        """Views that the store, which answered, does not have yet."""
        self.prepared = PreparedHistory(self._online)
        self.views = self._views()

    def refresh(self) -> bool:
        """Look at how far the views are; True if anything is new. What cannot be looked at leaves `problem` set."""
        if not self._online:
            return False
        try:
            names = [view.plan.store_name for view in self._online]
            found = {each.view: each for each in self._ask(lambda store: store.generations(names)) if each.live}
        except Unavailable as problem:
            self.problem, self.absent = str(problem), ()
            return False
        now = time.time_ns() // 1000
        for online in self._online:
            # what is kept reaches back from the newest row, and that is known by now
            online.sure_from = now + int(AHEAD) - online.plan.kept
        wanted = {name(view): found.get(name(view)) for view in self._model.features}
        progress = {key: at for key, each in wanted.items() if each is not None and (at := read(each.cursor)) is not None}
        self.absent = tuple(key.partition("@")[0] for key in wanted if key not in progress)
        self.problem = f"not in the online store yet: {', '.join(self.absent)}" if self.absent else ""
        if progress == self._progress:
            return False
        self._progress = progress
        for view in self._online:
            if (at := progress.get(view.plan.store_name)) is not None:
                view.kept_from = kept_from(view.plan, at)
        self.views = self._views()
        return True

    def _fetch(self, view: str, entities: Sequence[bytes]) -> list[Part]:
        return self._ask(lambda store: store.read(view, entities))

    def _ask(self, question: Callable[[OnlineStore], AnswerT]) -> AnswerT:
        """Ask the store. Raises Unavailable: at once, where it did not answer a moment ago."""
        if self._failed is not None:
            if self._monotonic() - self._failed_at < RETRY_S:
                raise self._failed
            self._failed = None
        if self._store is None:
            self._store = self._open()
        try:
            return question(self._store)
        except Unavailable as problem:
            self._failed, self._failed_at = problem, self._monotonic()
            raise

    def _views(self) -> Views | None:
        """What is in use, as it is told to the log; None for a model without views."""
        taken = []
        for view in self._model.features:
            at = self._progress.get(name(view))
            content, as_of = ("", 0) if at is None else (at.content, at.as_of)
            pushed = at.pushed if at is not None and at.pushed > at.through else 0
            taken.append(TakenUp(view.name, view_digest(view), tuple(view.features), view.data.name, content, as_of, pushed))
        return packed(taken) if taken else None


def store_of(layout: Layout) -> OnlineStore:
    """The project's online store, as the control plane says. Raises BadInput."""
    told = read_json(layout.online)
    return open_online(str(told.get("url", "")) if isinstance(told, dict) else "", layout.root, layout.project)
