"""The plain frames of the log as columns: answers and shadows of one row each, and labels, which are nearly all that a busy gateway writes.

The fields of many frames are read together, each as an array, and so are their rows: a tenth of what it costs to make an object of every frame and value.
What is not plain, in whatever way, is handed back as it is, for records (`wal.LogRecord`); nothing is left out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from flyball.serving import packed, wal
from flyball.serving.packed import Flags, Packed, Places, Words

_NIL = 0xC0
_PREFIX = 8
_HEAD = 128
"""Bytes in which the fields before the rows end, but for long names."""

_VIEWED = 0x9E
_ANSWERS = tuple(np.uint64(int.from_bytes(fields + b"\xa6" + kind)) for fields in (b"\x9d", b"\x9e") for kind in (b"answer", b"shadow"))
_LABEL = int.from_bytes(b"\x9d\xa5label")
"""How frames begin: the first eight bytes, and the first seven. Of thirteen fields the last are marks; what a model's views gave comes after them."""

_TIMED = b"\x81\xa1t"
"""How the marks of a label begin that has a time and nothing else."""

_LONGEST_TIMED = len(_TIMED) + 9
_marks = msgspec.msgpack.Decoder(dict[str, object]).decode
_first = msgspec.msgpack.Decoder(tuple[msgspec.Raw, msgspec.Raw]).decode


class Split(NamedTuple):
    """The rollout that marks name, and the weight it had."""

    rollout: str
    weight: int


@dataclass(frozen=True)
class Group:
    """Frames that differ in their request alone, their rows as a series a field, in the signature's order. `split` is None for labels, whose `version` is
    the model's name, and which have no input; `output` has the values, and scores where there are any. `frames` are their numbers in the stretch.
    """

    version: str
    role: str
    split: Split | None
    ids: pl.Series
    keys: pl.Series
    picked_ns: Places
    answered_ns: Places
    input: list[pl.Series]
    output: list[pl.Series]
    frames: Places

    def __len__(self) -> int:
        return self.frames.size

    def only(self, kept: Flags) -> Group | None:
        """The frames that are `kept`; None where none is."""
        if kept.all():
            return self
        picks = pl.Series(np.flatnonzero(kept))
        if picks.is_empty():
            return None
        return replace(
            self,
            ids=self.ids.gather(picks),
            keys=self.keys.gather(picks),
            picked_ns=self.picked_ns[kept],
            answered_ns=self.answered_ns[kept],
            input=[series.gather(picks) for series in self.input],
            output=[series.gather(picks) for series in self.output],
            frames=self.frames[kept],
        )

    def at(self, shift_ns: int) -> pl.Series:
        """When each was picked, in wall time (µs)."""
        return pl.Series("at", (self.picked_ns + shift_ns) // 1000)

    def latency_us(self) -> pl.Series:
        """How long each took."""
        return pl.Series("latency_us", np.maximum((self.answered_ns - self.picked_ns) // 1000, 0))


class _Texts(NamedTuple):
    starts: Places
    sizes: Places

    def of(self, rows: Places) -> _Texts:
        return _Texts(_of(self.starts, rows), _of(self.sizes, rows))


def _of(values: Places, rows: Places) -> Places:
    """The values of rows, which are in ascending order: mostly all of them, and nothing is copied."""
    return values if rows.size == values.size else values[rows]


class _Heads:
    """The fields before the rows of frames that begin as plain ones do. `good`: those that have gone on as such; all others stand still."""

    def __init__(self, whole: Packed, frames: Places, starts: Places, ends: Places, *, is_label: bool) -> None:
        self.packed, self.frames, self.starts, self.ends = whole, frames, starts, ends
        self.places = starts + (7 if is_label else 8)
        self.good: Flags = np.ones(frames.size, dtype=np.bool_)
        # nearly always the fields of all frames of a sort are of one length each
        self._ahead: packed.Ahead | None = packed.Ahead(whole, self.places, _HEAD)

    def text(self) -> _Texts:
        """The next field, a text."""
        size = self._ahead.text() if self._ahead is not None else None
        if self._ahead is not None and size is not None:
            starts = self.places + (self._ahead.passed - size)
            return _Texts(starts, np.full(starts.size, size, dtype=np.int64))
        self.leave()
        tags = self.packed.buffer[self.places]
        starts, sizes = packed.spans(self.packed, self.places, tags)
        self._on(starts + sizes, packed.is_text(tags))
        return _Texts(starts, sizes)

    def whole(self) -> Places:
        """The next field, a whole number that is not negative."""
        found = self._ahead.whole() if self._ahead is not None else None
        if found is not None:
            return found
        self.leave()
        found, after, known = packed.whole_numbers(self.packed, self.places, self.packed.buffer[self.places])
        self._on(after, known)
        return found

    def leave(self) -> None:
        """Stand behind what was read of all at once."""
        if self._ahead is not None:
            after, self._ahead = self.places + self._ahead.passed, None
            self._on(after, self.good)

    def _on(self, after: Places, known: Flags) -> None:
        self.good &= known & (after < self.ends)
        self.places = after if self.good.all() else np.where(self.good, after, self.places)


def split(found: wal.Stretch) -> tuple[list[Group], list[Group], list[int]]:
    """Frames as groups of answers and of labels, and the numbers of those that are not plain, in their order."""
    if not found.ends:
        return [], [], []
    whole, ends = Packed.of(found.data), np.array(found.ends, dtype=np.int64)
    starts = np.concatenate(([0], ends[:-1])) + _PREFIX
    first = whole.words[starts]
    rest = np.ones(ends.size, dtype=np.bool_)
    found_groups: list[list[Group]] = []
    # apart, for what is alike in all frames of a sort is read in one step
    for is_label, begun in ((False, np.logical_or.reduce([first == word for word in _ANSWERS])), (True, first >> np.uint64(8) == _LABEL)):
        frames = np.flatnonzero(begun)
        heads = _Heads(whole, frames, starts[frames], ends[frames], is_label=is_label)
        groups = list(_groups(heads, is_label=is_label)) if frames.size else []
        if is_label and groups:
            done = np.concatenate([group.frames for group in groups])
            others = frames[~np.isin(frames, done)]
            groups = _untied(groups, _moments(whole, others, starts[others], ends[others]), found.shift_ns)
        found_groups.append(groups)
        for group in groups:
            rest[group.frames] = False
    return found_groups[0], found_groups[1], np.flatnonzero(rest).tolist()


def _moments(whole: Packed, frames: Places, starts: Places, ends: Places) -> Places:
    """When these labels came (monotonic ns); none of those with an id that no plain label can have."""
    heads = _Heads(whole, frames, starts, ends, is_label=True)
    heads.text()
    came = heads.whole()
    heads.leave()
    return came[heads.good]


def _untied(groups: list[Group], moments: Places, shift_ns: int) -> list[Group]:
    """Labels without those that came in one moment with others that are handed back: of two for one row the later in the log counts, and nothing but
    their order tells which it is.
    """
    if not moments.size:
        return groups
    tied = np.unique((moments + shift_ns) // 1000)
    return [part for group in groups if (part := group.only(~np.isin((group.picked_ns + shift_ns) // 1000, tied))) is not None]


def _groups(heads: _Heads, *, is_label: bool) -> Iterator[Group]:
    buffer = heads.packed.buffer
    ids, picked, answered = heads.text(), heads.whole(), heads.whole()
    heads.whole()
    version, role, keys, status = heads.text(), heads.text(), heads.text(), heads.text()
    rows = heads.whole()
    heads.leave()
    fine = (status.sizes == 2) & (buffer[status.starts] == ord("o")) & (buffer[status.starts + 1] == ord("k"))
    good = np.flatnonzero(heads.good & fine & (rows == 1))
    for place in _alike(heads.packed, good.size, (version.of(good), role.of(good))):
        mine = _of(good, place)
        said = _rows(heads, mine, is_label=is_label)
        if said is None:
            continue
        given, output, marks = said
        names = [_name(heads.packed, text, mine[0]) for text in (version, role)]
        for told, chosen in (_timed if is_label else _splits)(heads, mine, marks):
            own = _of(mine, chosen)
            every = own.size == mine.size
            picks = None if every else pl.Series(chosen)
            yield Group(
                names[0],
                names[1],
                told,
                packed.texts(heads.packed, *ids.of(own)).alias("request_id"),
                _keys(heads.packed, keys.of(own)),
                _of(picked, own),
                _of(answered, own),
                given if picks is None else [series.gather(picks) for series in given],
                output if picks is None else [series.gather(picks) for series in output],
                _of(heads.frames, own),
            )


def _rows(heads: _Heads, mine: Places, *, is_label: bool) -> tuple[list[pl.Series], list[pl.Series], Places] | None:
    """The input, the output, and where the marks are; None where that is not so simple."""
    places, ends = _of(heads.places, mine), _of(heads.ends, mine)
    given: tuple[list[pl.Series], Places] | None
    if is_label:
        given = ([], places + 1) if bool((heads.packed.buffer[places] == _NIL).all()) else None
    else:
        given = packed.fields(heads.packed, places)
    output = packed.fields(heads.packed, given[1]) if given is not None else None
    if given is None or output is None or bool((output[1] >= ends).any()):
        return None
    return given[0], output[0], output[1]


def _splits(heads: _Heads, mine: Places, marks: Places) -> Iterator[tuple[Split | None, Places]]:
    """Answers by what their marks say of a rollout, and which they are; none of those whose marks say anything else."""
    ends = _of(heads.ends, mine)
    viewed = heads.packed.buffer[_of(heads.starts, mine)] == _VIEWED
    none = (heads.packed.buffer[marks] == _NIL) & (viewed | (marks + 1 == ends))
    if bool(none.any()):
        yield Split("", 0), np.flatnonzero(none)
    told: dict[bytes, list[int]] = {}
    for place in np.flatnonzero(~none).tolist():
        body = heads.packed.data[marks[place] : ends[place]]
        told.setdefault(bytes(_first(b"\x92" + body)[0]) if viewed[place] else body, []).append(place)
    for body, places in told.items():
        found = _split_of(body)
        if found is not None:
            yield found, np.array(places)


def _split_of(marks: bytes) -> Split | None:
    found = _marks(marks)
    if not found.keys() <= {"ro", "w"}:
        return None
    rollout, weight = found.get("ro", ""), found.get("w", 0)
    return Split(rollout, weight) if isinstance(rollout, str) and isinstance(weight, int) else None


def _timed(heads: _Heads, mine: Places, marks: Places) -> Iterator[tuple[Split | None, Places]]:
    """The labels that have a time at most."""
    buffer, ends = heads.packed.buffer, _of(heads.ends, mine)
    timed = ends - marks <= _LONGEST_TIMED
    for place, byte in enumerate(_TIMED):
        timed &= buffer[marks + place] == byte
    plain = np.flatnonzero(timed | ((buffer[marks] == _NIL) & (marks + 1 == ends)))
    if plain.size:
        yield None, plain


def _name(whole: Packed, text: _Texts, place: int) -> str:
    start = int(text.starts[place])
    return str(whole.data[start : start + int(text.sizes[place])], "utf-8")


def _keys(whole: Packed, keys: _Texts) -> pl.Series:
    """The hash of each caller's key, null without one."""
    if not bool(keys.sizes.any()):
        return pl.Series("key", [None], dtype=pl.String).new_from_index(0, keys.sizes.size)
    found = packed.texts(whole, *keys).alias("key")
    none = keys.sizes == 0
    return found.set(pl.Series(none), None) if bool(none.any()) else found


def _alike(whole: Packed, n: int, texts: Sequence[_Texts]) -> Iterator[Places]:
    """The places (of the texts, n each) of those that are alike in all of them, of each sort."""
    if not n:
        return
    words: list[Words] = []
    for text in texts:
        words += [text.sizes.astype(np.uint64), *_words(whole, text)]
    if all(bool((word == word[0]).all()) for word in words):
        yield np.arange(n)
        return
    mixed: Words = np.zeros(n, dtype=np.uint64)
    for word in words:
        mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    _, first, sort = np.unique(mixed, return_index=True, return_inverse=True)
    # two sorts with one sum are nobody's: they are read as records
    same = np.all([word == word[first[sort]] for word in words], axis=0)
    for each in range(first.size):
        yield np.flatnonzero((sort == each) & same)


def _words(whole: Packed, text: _Texts) -> Iterator[Words]:
    """The bytes of texts, eight at a time; zeros after the last."""
    widest = int(text.sizes.max())
    same = widest == int(text.sizes.min())
    for begin in range(0, widest, 8):
        if same:
            yield whole.words[text.starts + begin] >> np.uint64(8 * max(8 - widest + begin, 0))
            continue
        left = np.clip(text.sizes - begin, 0, 8)
        # a number cannot be shifted by all of its bits
        cut = ((8 - left) * 8).astype(np.uint64) & np.uint64(63)
        yield np.where(left > 0, whole.words[text.starts + begin] >> cut, np.uint64(0))
