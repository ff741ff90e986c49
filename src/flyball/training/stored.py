"""The data sets of a run as they lie in the blob store: read when they are asked for, and piece by piece where they are too many rows to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from flyball.clock import Instant
from flyball.data import manifest
from flyball.data.commit import load_content, scan
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.reads import made_from
from flyball.features.assemble import training_rows
from flyball.store.blobs import Blobs
from flyball.training.streamed import training_batches

MANY: Final = 20_000_000
"""Rows of a model's data sets together, beyond which they are joined piece by piece: slower, and in bounded memory."""

SOME: Final = 10_000
"""Rows among which a sample is looked for: views look back from each of them."""


class Stored(Mapping[str, pl.DataFrame]):
    """Data set name → its rows, loaded once they are asked for. Raises NotFound, Corrupt."""

    def __init__(self, contents: Mapping[str, str], blobs: Blobs, scratch: Path) -> None:
        """contents: the content hash of each data set. scratch: a folder for files while rows are joined piece by piece."""
        self._contents, self._blobs, self._scratch = contents, blobs, scratch
        self._loaded: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        """All rows of a data set."""
        if name not in self._loaded:
            self._loaded[name] = load_content(self._contents[name], self._blobs)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._contents)

    def __len__(self) -> int:
        """How many data sets there are."""
        return len(self._contents)

    def fit(self, model: Model) -> bool:
        """Whether the rows of all that a model is made from may be held at once."""
        return sum(self._rows(name) for name in self._sets(model)) <= MANY

    def training_rows(self, model: Model, *, as_of: Instant) -> pl.DataFrame:
        """`features.assemble.training_rows` of a model, by whichever way its rows fit into memory."""
        sets = self._sets(model)
        if self.fit(model) or not all(data.time for data in sets.values()):
            return training_rows(model, self, as_of=as_of)
        streams = {name: partial(self.pieces, name) for name in sets}
        self._scratch.mkdir(parents=True, exist_ok=True)
        return pl.concat(list(training_batches(model, streams, self._scratch, as_of=as_of)))

    def _sets(self, model: Model) -> dict[str, Dataset]:
        return {name: data for name, data in made_from(model).items() if name in self._contents}

    def some(self, name: str) -> pl.DataFrame:
        """Up to SOME rows of a data set: the newest, or of one that is too large to hold those at its beginning."""
        held = self[name] if self._rows(name) <= MANY else next(iter(self.pieces(name)))
        return held.tail(SOME)

    def pieces(self, name: str) -> Iterable[pl.DataFrame]:
        """The rows of a data set piece by piece, in order; whole where they are held already."""
        if name in self._loaded:
            return [self._loaded[name]]
        return scan(self._contents[name], self._blobs)

    def _rows(self, name: str) -> int:
        return sum(chunk.rows for chunk in manifest.manifest(self._contents[name], self._blobs).chunks)
