"""Judges logged feature values by data set versions: finds each version's declaration, the data, and what of it may have been erased."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from flyball.clock import FARTHEST, Instant
from flyball.data.erasures import Erasures
from flyball.data.manifest import manifest, nothing, read
from flyball.data.rules import is_pushed
from flyball.data.sources.pushed import through
from flyball.data.types import column
from flyball.declare.codec import view_digest
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import Corrupt, DeclarationError, NotFound
from flyball.features.skew import Difference, Held, Needed, ServedRow, Truth, judge, needed
from flyball.ledger.bounds import clipped
from flyball.loop.ports import Library
from flyball.loop.takenup import TakenUpBy
from flyball.records.base import State
from flyball.records.data import DATASET_VERSIONS, DATASETS, Chunk
from flyball.records.skew import FeatureSkew, Skew, SkewExample
from flyball.records.training import RUNS
from flyball.records.versions import VERSIONS
from flyball.serving import forget
from flyball.serving.vectorlog import LoggedVector
from flyball.store.blobs import Blobs

_OURS = re.compile(r"p_[0-9a-f]{32}(?:/\d{1,9})?")
_KINDS = (Skew.WRONG, Skew.MISSING, Skew.EXTRA, Skew.STALE)
"""From the worst on."""


@dataclass(frozen=True)
class Verified:
    """What came of the sampled `rows` of one version. `problems` say which views could not be judged, or were served by another definition."""

    model: str
    version: str
    rows: int
    features: tuple[FeatureSkew, ...] = ()
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()
    declared: Model | None = None

    def count(self, skew: Skew) -> int:
        """How many values stand so."""
        return sum(getattr(one, skew.value) for one in self.features)

    @property
    def checked(self) -> int:
        """Values of which something can be said."""
        return sum(one.checked for one in self.features)

    @property
    def skewed(self) -> int:
        """Values that are missing, extra or wrong."""
        return sum(one.skewed for one in self.features)

    @cached_property
    def worst_first(self) -> list[Difference]:
        """What is not equal, the gravest first."""
        return sorted(self.differences, key=lambda one: _KINDS.index(one.skew))


class Verifier:
    """Judges rows of the log. One look's: it keeps what it has read of data sets."""

    def __init__(
        self, state: State, library: Library, blobs: Blobs, erasures: Callable[[str], Erasures], pushed: Callable[[str], int]
    ) -> None:
        """By the name of a data set: what was erased of it, and the number of the last row that was ever pushed to it."""
        self._state = state
        self._library = library
        self._blobs = blobs
        self._ask = erasures
        self._pushed = pushed
        self._erasures: dict[str, Erasures] = {}
        self._models: dict[str, Model] = {}

    def as_of(self, version: str) -> Instant:
        """Until when all that the views of a version may look at is in data set versions. Raises NotFound."""
        heads = [self._state.get(DATASETS, view.data.name) for view in self.model(version).features]
        return min((row.head.as_of if row is not None and row.head is not None else 0 for row in heads), default=0)

    def model(self, version: str) -> Model:
        """What a version (`model@1.2.3`) was declared as. Raises NotFound where that is not kept any more."""
        if version not in self._models:
            name, _, number = version.partition("@")
            row = self._state.get(VERSIONS, f"{name}/{number}")
            run = self._state.get(RUNS, row.run) if row is not None else None
            if run is None:
                raise NotFound(f"nothing is known of {version}", why="no version of this name was registered here")
            self._models[version] = self._library.model(self._library.spec(run.spec).declaration)
        return self._models[version]

    def judge(self, version: str, rows: Sequence[LoggedVector]) -> Verified:
        """How the values of rows that `version` was served stand."""
        name, _, number = version.partition("@")
        try:
            model = self.model(version)
        except (NotFound, Corrupt, DeclarationError) as error:
            return Verified(name, number, len(rows), problems=(str(error),))
        found: list[FeatureSkew] = []
        differences: list[Difference] = []
        problems: list[str] = []
        for view in model.features:
            served, definitions = _served(rows, view, TakenUpBy(self._state, view.data, self._of(view.data.name), self._sent(view.data)))
            if others := definitions - {view_digest(view)}:
                problems.append(
                    f"{view.name} was computed by another definition ({', '.join(sorted(one[:8] for one in others))}) than is declared"
                )
            held = _Contents(self._state, self._blobs, view, self._of(view.data.name), needed(model, view, served))
            truth = held.truth()
            if truth is None:
                problems.append(f'data set "{view.data.name}" has no version that can be read')
                found += [FeatureSkew(view=view.name, feature=feature, unknown=len(rows)) for feature in view.features]
                continue
            judged = judge(model, view, served, truth, held)
            found += judged.features
            differences += judged.differences
            problems += [f"{view.name}: {judged.problem}"] if judged.problem else []
        return Verified(name, number, len(rows), tuple(found), tuple(differences), tuple(problems), model)

    def _sent(self, data: Dataset) -> int:
        try:
            return self._pushed(data.name) if is_pushed(data) else 0
        except Corrupt:
            # any number may have been: what may rest on them is unknown, and all else is judged
            return FARTHEST

    def _of(self, name: str) -> Erasures:
        if name not in self._erasures:
            self._erasures[name] = self._ask(name)
        return self._erasures[name]


class _Contents:
    """The rows that some values of a view can rest on, in the versions of its data set; each is read once."""

    def __init__(self, state: State, blobs: Blobs, view: FeatureView, erasures: Erasures, needed: Needed) -> None:
        self._state = state
        self._blobs = blobs
        self._view = view
        self._erasures = erasures
        self._needed = needed
        self._found: dict[str, Held | None] = {}
        self._chunks: dict[str, pl.DataFrame] = {}

    def truth(self) -> Truth | None:
        """The newest version; None where there is none that can be read."""
        row = self._state.get(DATASETS, self._view.data.name)
        if row is None or row.head is None:
            return None
        content = self._erasures.present(row.head.content)
        held = self._read(content, row.head.as_of)
        return None if held is None else Truth(held, content, _erased(self._view, self._erasures), through(row.head, self._view.data))

    def __call__(self, content: str) -> Held | None:
        """A version; None where it is not there any more, or is not what was served from: rows were taken out since."""
        if content not in self._found:
            row = self._state.get(DATASET_VERSIONS, f"{self._view.data.name}/{content}")
            whole = self._erasures.present(content) == content
            # one that an erasure left has no row of its own: what of it was known when is that of the version it came from
            as_of = row.as_of if row is not None else FARTHEST
            self._found[content] = self._read(content, as_of) if whole else None
        return self._found[content]

    def _read(self, content: str, as_of: Instant) -> Held | None:
        try:
            found = manifest(content, self._blobs)
            names = {column.name for column in found.columns}
            columns = [name for name in self._needed.columns if name in names]
            chunks = [self._chunk(chunk, columns) for chunk in found.chunks if not found.time or self._reaches(chunk)]
            return Held(pl.concat([nothing(found, columns), *chunks]), as_of)
        except (NotFound, Corrupt):
            return None

    def _reaches(self, chunk: Chunk) -> bool:
        return chunk.first <= self._needed.last and chunk.last >= self._needed.first

    def _chunk(self, chunk: Chunk, columns: list[str]) -> pl.DataFrame:
        # versions share most of their chunks
        if chunk.content not in self._chunks:
            self._chunks[chunk.content] = read(chunk.content, self._blobs, columns).filter(self._needed.rows)
        return self._chunks[chunk.content]


def _erased(view: FeatureView, erasures: Erasures) -> Callable[[tuple[Any, ...], Instant], bool]:
    """Whether rows that a value rested on may have been erased since: one's own where a view is by person, else anybody's."""
    newest = max(erasures.until.values(), default=None)
    if newest is None:
        return lambda _key, _moment: False
    if view.data.subject in view.entity:
        place = view.entity.index(view.data.subject)
        return lambda key, moment: key[place] is not None and erasures.covers(forget.text(key[place]), moment)
    return lambda _key, moment: moment <= newest


def _served(rows: Sequence[LoggedVector], view: FeatureView, taken: TakenUpBy) -> tuple[list[ServedRow], set[str]]:
    """What one view gave for each row, and the versions of it that were used."""
    served, definitions = [], set()
    for row in rows:
        start, found = 0, None
        for one in row.heading.views:
            if one.view == view.name:
                found = one
                break
            start += len(one.features)
        key = tuple(row.fields.get(name) for name in view.key)
        if found is None:
            served.append(ServedRow(row.row, row.moment, key, {}, ()))
            continue
        after = next((one for one in row.heading.after.views if one.view == view.name), None) if row.heading.after is not None else None
        values = dict(zip(found.features, row.values[start:], strict=False))
        served.append(ServedRow(row.row, row.moment, key, values, taken.states(row.at, found, after)))
        definitions.add(found.digest)
    return served, definitions


def examples(found: Verified, *, most: int) -> Iterator[SkewExample]:
    """Differences as the record may hold them, one of each feature and kind first come: no id that a caller chose, no value that may be of a person."""
    seen: set[tuple[str, str, Skew]] = set()
    for one in found.worst_first:
        mark = (one.view, one.feature, one.skew)
        if mark in seen or len(seen) >= most:
            continue
        seen.add(mark)
        told = found.declared is not None and not of_persons(found.declared, one.view)
        yield SkewExample(
            row=one.row if _OURS.fullmatch(one.row) else "",
            at=one.moment,
            view=one.view,
            feature=one.feature,
            skew=one.skew,
            served=_text(one.served) if told else "",
            offline=_text(one.offline) if told else "",
        )


def of_persons(model: Model, name: str) -> bool:
    """Whether values of a view may say something of a person: its data set is of persons, or a personal column is in it."""
    data = next(view.data for view in model.features if view.name == name)
    return bool(data.subject) or any(item.personal for item in data.columns.values())


def names_persons(model: Model, name: str) -> bool:
    """Whether the key that a view is looked up by says who a row is of."""
    view = next(view for view in model.features if view.name == name)
    return any(
        key in model.data.identifying or name in view.data.identifying or column(model.data, key).personal
        for key, name in zip(view.key, view.entity, strict=True)
    )


def _text(value: Any) -> str:
    return clipped(json.dumps(value, ensure_ascii=False))
