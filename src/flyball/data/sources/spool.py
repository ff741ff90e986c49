"""Rows of a source that can be asked once only: what it gave the first time is given again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import polars as pl


class Spool:
    """The batches of a stream, kept on disk as they pass. A stream that was left before its end is asked anew."""

    def __init__(self, stream: Callable[[], Iterator[pl.DataFrame]], folder: Callable[[], TemporaryDirectory[str]]) -> None:
        self._stream, self._folder = stream, folder
        self._kept: TemporaryDirectory[str] | None = None
        self._whole = 0

    def __call__(self) -> Iterator[pl.DataFrame]:
        """All batches. Raises what the stream raises."""
        if self._kept is not None and self._whole:
            for place in range(self._whole):
                yield pl.read_ipc(self._path(place))
            return
        self.close()
        self._kept = self._folder()
        place = 0
        for place, batch in enumerate(self._stream(), 1):
            batch.write_ipc(self._path(place - 1), compression="lz4")
            yield batch
        self._whole = place

    def _path(self, place: int) -> Path:
        assert self._kept is not None
        return Path(self._kept.name) / f"{place:06}.arrow"

    def close(self) -> None:
        """Keep nothing any more."""
        if self._kept is not None:
            self._kept.cleanup()
            self._kept = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
