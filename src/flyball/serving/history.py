"""The rows that a worker's windows look back on: the newest version of each data set, taken up as pointer files change."""

from __future__ import annotations

import polars as pl

from flyball.clock import Instant
from flyball.data.commit import load_content
from flyball.data.types import instants
from flyball.declare.codec import view_digest
from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.features import assemble
from flyball.serving.layout import Layout, read_json
from flyball.serving.vectors import TakenUp, Views, packed
from flyball.store.blobs import Blobs


class History:
    """Holds a model's prepared history; `refresh` looks at run/data/<dataset>.json."""

    def __init__(self, model: Model, layout: Layout, blobs: Blobs) -> None:
        self._model = model
        self._layout = layout
        self._blobs = blobs
        self._sets = {view.data.name: view.data for view in model.features}
        self._contents: dict[str, str] = {}
        self._frames: dict[str, pl.DataFrame] = {}
        self.problem = ""
        self.prepared = assemble.prepare_history(model, None)
        self.views = self._views()

    def refresh(self) -> bool:
        """Take up what is new; True if anything was. A version that cannot be read leaves the last one in use, with `problem` set."""
        changed = False
        for name in self._sets:
            pointer = read_json(self._layout.pointers / f"{name}.json")
            content = pointer.get("content", "") if isinstance(pointer, dict) else ""
            if not content or content == self._contents.get(name):
                continue
            try:
                self._frames[name] = self._tail(name, load_content(content, self._blobs))
            except FlyballError as problem:
                self.problem = str(problem)
                continue
            self._contents[name] = content
            changed = True
        if changed:
            self.prepared = assemble.prepare_history(self._model, self._frames)
            self.views = self._views()
            self.problem = ""
        return changed

    def _views(self) -> Views | None:
        """What is in use, as it is told to the log; None for a model without views."""
        taken = [
            TakenUp(view.name, view_digest(view), tuple(view.features), view.data.name, self._contents.get(view.data.name, ""))
            for view in self._model.features
        ]
        return packed(taken) if taken else None

    def _tail(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """What a window can still reach: twice the longest reach behind the newest row, for callers who ask about the near past."""
        data = self._sets[name]
        if not data.time or frame.is_empty():
            return frame
        newest: Instant = frame.select(instants(data.time).max()).item()
        reach = assemble.history_span(self._model)
        return frame.filter(instants(data.time) >= newest - 2 * reach) if reach else frame
