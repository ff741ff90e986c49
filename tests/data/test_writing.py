"""Rows are stored as they come: few are held, what is not used is removed, and nothing refers to half a version."""

from __future__ import annotations

import hashlib
from functools import partial

import msgspec
import polars as pl
import pytest

from flyball.data import chunks, manifest, profile
from flyball.data import refresh as refreshing
from flyball.data.commit import commit, load_content, schema_hash
from flyball.data.erase import Person, name_only
from flyball.data.erasures import Erasures
from flyball.data.ordering import in_order
from flyball.data.refresh import refresh
from flyball.data.sources import delimited
from flyball.data.writing import Written
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.ledger.references import inner
from flyball.records.data import DataCommitted, DataRefused, DatasetManifest

DATA = Dataset("d", source="d.csv", time="at", subject="who", columns={"x": int})


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(chunks, "MOST", 32 * 26)
    monkeypatch.setattr(chunks, "LEAST", 8 * 26)


def frame(start, stop, persons=40):
    at = pl.Series("at", range(start, stop), dtype=pl.Int64).cast(pl.Datetime("us"))
    made = pl.DataFrame({"x": range(start, stop), "who": [f"p{n * 7919 % persons}" for n in range(start, stop)]})
    return made.with_columns(at).select("x", "at", "who")


def test_the_manifest_says_what_a_version_is_made_of(blobs):
    version = commit(DATA, frame(0, 300), blobs, None, "m")
    found = manifest.manifest(version.content, blobs)
    assert [(column.name, column.type) for column in found.columns] == [("x", "int"), ("at", "time"), ("who", "str")]
    assert (found.format, found.time, sum(chunk.rows for chunk in found.chunks)) == (1, "at", 300)
    assert [chunk.first for chunk in found.chunks[1:]] == [chunk.last + 1 for chunk in found.chunks[:-1]]
    data = blobs.get(version.content)
    assert manifest.write(found) == data
    assert hashlib.sha256(data).hexdigest() == version.content
    assert [each.digest for each in inner("content", data)] == [chunk.content for chunk in found.chunks]
    assert inner("content", b"PAR1 of a segment") == ()


def test_a_blob_that_is_no_manifest_and_one_of_another_format_are_named(blobs):
    with pytest.raises(Corrupt, match="is not a data set"):
        load_content(blobs.put(b'{"chunks": 1}'), blobs)
    newer = DatasetManifest(columns=(), chunks=(), format=2)
    with pytest.raises(Corrupt, match="is not a data set") as refused:
        load_content(blobs.put(manifest.write(newer)), blobs)
    assert "format is 2" in str(refused.value)
    with pytest.raises(NotFound):
        load_content("0" * 64, blobs)


def test_a_chunk_that_was_changed_is_never_read(blobs):
    version = commit(DATA, frame(0, 100), blobs, None, "m")
    path = blobs.path(manifest.manifest(version.content, blobs).chunks[1].content)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupt, match="hash"):
        load_content(version.content, blobs)


def test_no_more_than_a_few_chunks_wait_while_rows_come(blobs):
    known, behind = [], []

    def coming():
        for start in range(0, 2000, 20):
            known.append(20)
            written = sum(1 for _ in blobs.digests())
            behind.append(sum(known) - 8 * written)
            yield frame(start, start + 20)

    version = commit(DATA, coming(), blobs, None, "m")
    # chunks have 8 to 32 rows, so what has been stored falls behind by less than two of the largest and a step
    assert sum(1 for _ in blobs.digests()) > 60
    stored_rows = 2000
    assert version.rows == stored_rows
    assert version.content == commit(DATA, frame(0, 2000), blobs, None, "m").content


def test_a_chunk_that_was_lost_is_there_again_once_the_same_rows_are_read(blobs):
    version = commit(DATA, frame(0, 200), blobs, None, "m")
    blobs.remove(manifest.manifest(version.content, blobs).chunks[2].content)
    assert commit(DATA, frame(0, 200), blobs, version, "m") == version
    assert load_content(version.content, blobs).equals(frame(0, 200))


def test_an_append_stores_the_last_chunk_anew_and_what_is_new(blobs):
    first = commit(DATA, frame(0, 1000), blobs, None, "m")
    before = set(blobs.digests())
    second = commit(DATA, frame(0, 1010), blobs, first, "m")
    new = manifest.names(second.content, blobs) - before
    assert 1 <= len(new) <= 2
    assert len(manifest.names(first.content, blobs) - manifest.names(second.content, blobs)) == 1


def test_a_source_that_breaks_while_it_is_stored_leaves_nothing(blobs):
    kept = commit(DATA, frame(0, 500), blobs, None, "m")
    before = set(blobs.digests())

    def coming():
        yield frame(0, 500)
        yield frame(5000, 6000)
        raise BadInput("the disk is gone")

    with pytest.raises(BadInput):
        Written(DATA, coming(), blobs)
    assert set(blobs.digests()) == before
    assert load_content(kept.content, blobs).height == 500


def test_what_somebody_else_has_put_meanwhile_is_not_taken_away(blobs):
    written = Written(DATA, [frame(0, 200)], blobs)
    [first, *others] = [chunk.content for chunk in written.manifest.chunks]
    blobs.refresh(first)
    written.abandon()
    assert blobs.has(first)
    assert not any(blobs.has(other) for other in others)


def test_a_large_source_that_does_not_hold_its_contract_leaves_nothing(root, blobs, write, monkeypatch):
    monkeypatch.setattr(refreshing, "in_order", partial(in_order, held=2000))
    stored, put = [], blobs.put
    monkeypatch.setattr(blobs, "put", lambda data: stored.append(put(data)) or stored[-1])
    data = Dataset("d", source="d.csv", time="at", subject="who", columns={"x": Column(int, between=(0, 900))})
    write(frame(0, 1000).write_csv(), "d.csv")
    event = refresh(data, root, blobs, None)
    assert isinstance(event, DataRefused)
    assert len(stored) > 5
    assert list(blobs.digests()) == []


def test_rows_of_a_source_that_are_far_out_of_order_are_stored_in_order(root, blobs, write, monkeypatch):
    monkeypatch.setattr(refreshing, "in_order", partial(in_order, held=2000))
    monkeypatch.setattr(delimited, "BLOCK", 1000)
    rows = frame(0, 600)
    write(pl.concat([rows.slice(300), rows.head(300)]).write_csv(), "d.csv")
    event = refresh(DATA, root, blobs, None)
    assert isinstance(event, DataCommitted)
    assert load_content(event.version.content, blobs).equals(rows)


def test_an_erasure_rewrites_the_chunks_that_hold_the_person_and_no_other(blobs):
    old = commit(DATA, frame(0, 900, persons=311), blobs, None, "m")
    new = commit(DATA, frame(0, 1000, persons=311), blobs, old, "m")
    before = {version.content: manifest.manifest(version.content, blobs) for version in (old, new)}
    kept = []
    person = Person("p7", blobs)
    rests = {content: person.rest(content, ["who"], lambda data: kept.append(blobs.put(data)) or kept[-1]) for content in before}
    for content, found in before.items():
        after = manifest.manifest(rests[content].content, blobs)
        for chunk, left in zip(found.chunks, after.chunks, strict=True):
            theirs = (manifest.read(chunk.content, blobs)["who"] == "p7").sum()
            assert (left == chunk) == (not theirs)
            assert left.rows == chunk.rows - theirs
        assert rests[content].rows == sum(chunk.rows for chunk in found.chunks) - sum(chunk.rows for chunk in after.chunks) > 0
    # a chunk that both versions have was written once
    assert len(kept) == len(set(kept))
    assert "p7" not in load_content(rests[new.content].content, blobs)["who"].to_list()


def test_a_chunk_of_one_person_alone_goes_as_a_whole(blobs):
    rows = frame(0, 200).with_columns(who=pl.when(pl.col("x").is_between(60, 140)).then(pl.lit("ana")).otherwise(pl.lit("bo")))
    version = commit(DATA, rows, blobs, None, "m")
    left = Person("ana", blobs).rest(version.content, ["who"], blobs.put)
    assert len(manifest.manifest(left.content, blobs).chunks) < len(manifest.manifest(version.content, blobs).chunks)
    assert load_content(left.content, blobs).equals(rows.filter(pl.col("who") == "bo"))
    everything = Person("bo", blobs).rest(left.content, ["who"], blobs.put)
    assert load_content(everything.content, blobs).equals(rows.clear())


def test_a_rehearsal_names_what_it_does_not_store(blobs):
    version = commit(DATA, frame(0, 300), blobs, None, "m")
    before = set(blobs.digests())
    named = Person("p7", blobs).rest(version.content, ["who"], name_only)
    assert set(blobs.digests()) == before
    assert Person("p7", blobs).rest(version.content, ["who"], blobs.put) == named


def test_after_an_erasure_moved_a_cut_the_same_rows_are_still_the_same_version(blobs):
    # the first row of a chunk is theirs, so whoever reads the rest anew cuts elsewhere
    version = commit(DATA, frame(0, 600), blobs, None, "m")
    second = manifest.manifest(version.content, blobs).chunks[1]
    who = manifest.read(second.content, blobs)["who"][0]
    rest = Person(who, blobs).rest(version.content, ["who"], blobs.put)
    remaining = load_content(rest.content, blobs)
    moved = Erasures(present=lambda content: rest.content if content == version.content else content)
    before = set(blobs.digests())
    again = commit(DATA, remaining, blobs, version, "m2", erasures=moved)
    assert set(blobs.digests()) == before
    assert Written(DATA, [remaining], blobs).content != rest.content
    assert again == msgspec.structs.replace(version, source_mark="m2")


def test_the_schema_has_a_hash_and_a_version_of_its_own(blobs):
    first = commit(DATA, frame(0, 10), blobs, None, "m")
    more = commit(DATA, frame(0, 20), blobs, first, "m")
    assert (more.schema_hash, more.schema_version) == (first.schema_hash, "1.0.0")
    wider = Dataset("d", source="d.csv", time="at", subject="who", columns={"y": float, "x": int})
    second = commit(wider, frame(0, 20).with_columns(y=pl.lit(0.5)).select("y", "x", "at", "who"), blobs, more, "m")
    assert (second.version, second.schema_version) == ("1.1.0", "1.1.0")
    third = commit(DATA, frame(0, 20), blobs, second, "m")
    assert (third.version, third.schema_version, third.schema_hash) == ("2.0.0", "2.0.0", first.schema_hash)
    assert schema_hash({"a": "int", "b": "str"}) == schema_hash({"b": "str", "a": "int"}) != schema_hash({"a": "int", "b": "int"})


def test_many_distinct_values_are_estimated_and_said_to_be(blobs, monkeypatch):
    monkeypatch.setattr(profile, "COUNTED", 1024)
    rows = pl.DataFrame({"x": [n // 2 for n in range(60_000)]})
    data = Dataset("d", source="d.csv", columns={"x": int})
    [column] = commit(data, rows, blobs, None, "m").stats
    assert column.estimated
    assert column.distinct == pytest.approx(30_000, rel=0.15)
    [column] = commit(data, rows.head(2000), blobs, None, "m").stats
    assert (column.distinct, column.estimated) == (1000, False)
