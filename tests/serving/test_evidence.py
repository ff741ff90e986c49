"""What the log says becomes counts once, whatever restarts, tears or arrives late."""

import math
import random
import time
from collections import Counter

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.records.evidence import Bins, Cursor, Watch
from flyball.records.serving import SegmentRow
from flyball.serving import evidence, sealer, wal
from flyball.serving.evidence import LiveEvidence
from flyball.store.blobs import LocalBlobs

S = 1_000_000
pack = msgspec.msgpack.encode
WATCH = Watch(model="m", task="binary", label_delay=Span(5 * S), slices=("day",), arms={"ro": ("1.1.0", "1.0.0")})


class Log:
    """A gateway's log in virtual time: `second` counts from the segment's opening."""

    def __init__(self, root, gateway="g0"):
        self.writer = wal.Writer(root / "log", gateway, reserve_bytes=0)
        header, _ = wal.read_header(self.writer.path)
        self.mono, self.wall = header.monotonic_ns, header.wall_ns
        self.writer.append([self.writer.declare(f"m@{version}", ["x", "day"]) for version in ("1.0.0", "1.1.0")])

    def us(self, second):
        return (self.wall + round(second * 1e9)) // 1000

    def scored(
        self,
        request,
        second,
        *,
        version="1.0.0",
        role="champion",
        kind="answer",
        values=(1,),
        day=1,
        status="ok",
        key="",
        marks=None,
        took_ms=2,
    ):
        picked = self.mono + round(second * 1e9)
        self.writer.append(
            [
                wal.frame(
                    kind,
                    request,
                    picked_ns=picked,
                    answered_ns=picked + took_ms * 1_000_000,
                    epoch=1,
                    version=f"m@{version}",
                    role=role,
                    key_hash=key,
                    status=status,
                    rows=len(values),
                    packed_input=None if kind == "shadow_dropped" else pack([[0.5, day]] * len(values)),
                    packed_output=pack([[value, 0.7] for value in values]) if status == "ok" else None,
                    marks=marks,
                )
            ]
        )

    def label(self, request, second, value):
        self.writer.append([wal.label_frame("m", request, value, 0, now_ns=self.mono + round(second * 1e9))])


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path)
    yield made
    made.writer.close()


class NamedLog(Log):
    """The same, of versions whose second field has another name."""

    def __init__(self, root, field):
        super().__init__(root)
        self.writer.append([self.writer.declare(f"m@{version}", ["x", field]) for version in ("1.0.0", "1.1.0")])


@pytest.mark.parametrize(
    "name", ["request_id", "at", "version", "role", "rollout", "weight", "key", "status", "score", "value", "label", "loss"]
)
def test_an_input_and_a_slice_may_have_the_name_of_what_is_known_of_a_row(tmp_path, name):
    log = NamedLog(tmp_path, name)
    bins = tuple(Bins(column=each, kind="numeric", edges=(0.5,), counts=(5, 5), n=10) for each in ("x", name, "prediction"))
    watch = msgspec.structs.replace(WATCH, bins=bins, slices=(name,))
    log.scored("a", 0.1, day=7)
    log.scored("b", 0.2, day=0, values=(0,))
    log.label("a", 1, 1)
    log.label("b", 1, 1)
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": watch})
    assert {one.column: one.cells for one in batch.inputs} == {"x": (2, 0), name: (1, 1), "prediction": (1, 1)}
    assert {one.slice for one in batch.quality} == {"", f"{name}=7", f"{name}=0"}
    assert sum(one.n for one in batch.traffic) == 2
    log.writer.close()


def start(log):
    return Cursor(until=log.us(-1))


def whole(batch):
    return [one for one in batch.quality if not one.slice]


def test_an_answer_counts_at_once_and_its_label_when_it_matured(tmp_path, log):
    log.scored("a", 0.1)
    log.scored("b", 0.2, values=(0,))
    log.label("a", 1, 1)
    evidence = LiveEvidence(tmp_path)
    batch, cursor = evidence.since(start(log), log.us(1.5), {"m": WATCH})
    assert [(one.n, one.errors, one.rollout) for one in batch.traffic] == [(2, 0, "")]
    assert batch.quality == ()
    log.label("b", 2, 1)
    batch, cursor = evidence.since(cursor, log.us(6), {"m": WATCH})
    assert batch.traffic == ()
    assert [(one.matured, one.labelled, one.tp, one.fn) for one in whole(batch)] == [(2, 2, 1, 1)]
    assert {one.slice for one in batch.quality} == {"", "day=1"}
    assert evidence.since(cursor, log.us(60), {"m": WATCH})[0].quality == ()


def test_a_shadow_is_paired_and_a_dropped_one_counted(tmp_path, log):
    marks = {"ro": "ro", "w": 0}
    for name in ("a", "b"):
        log.scored(name, 0.1, marks=marks, values=(0,))
    log.scored("a", 0.1, version="1.1.0", role="shadow", kind="shadow", marks=marks, values=(1,))
    log.scored("b", 0.1, version="1.1.0", role="shadow", kind="shadow_dropped", status="dropped", marks=marks)
    log.label("a", 1, 1)
    log.label("b", 1, 1)
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": WATCH})
    (pair,) = [one for one in batch.pairs if not one.counts.slice]
    assert (pair.rollout, pair.new, pair.old) == ("ro", "1.1.0", "1.0.0")
    assert (pair.counts.plus, pair.counts.zero, pair.counts.minus) == (1, 0, 0)
    assert sum(one.dropped for one in batch.traffic) == 1


def test_a_challenger_that_failed_is_an_error_of_its_own_and_the_stand_in_no_exposure(tmp_path, log):
    marks = {"ro": "ro", "w": 2500}
    log.scored("a", 0.1, version="1.1.0", role="challenger", status="error", marks=marks)
    log.scored("a", 0.1, marks={**marks, "fb": "champion"})
    log.scored("b", 0.2, status="error", marks=marks)
    log.scored("b", 0.2, status="fallback", marks={**marks, "fb": "value"})
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(1), {"m": WATCH})
    found = {one.version: (one.n, one.errors, one.units, one.bad_units) for one in batch.traffic}
    assert found == {"1.1.0": (1, 1, 1, 1), "1.0.0": (2, 1, 1, 1)}


def test_rows_of_one_request_are_one_unit_and_each_has_a_label_of_its_own(tmp_path, log):
    log.scored("a", 0.1, values=(1, 1, 0), marks={"ro": "ro", "w": 2500})
    for row, truth in ((0, 1), (2, 1)):
        log.label(f"a/{row}", 1, truth)
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": WATCH})
    (traffic,) = batch.traffic
    assert (traffic.n, traffic.errors, traffic.units, traffic.bad_units) == (3, 0, 1, 0)
    assert [(one.matured, one.labelled, one.correct) for one in whole(batch)] == [(3, 2, 1)]


def test_other_models_refusals_and_gaps_do_not_confuse_it(tmp_path, log):
    log.scored("a", 0.1)
    log.writer.append([wal.frame("refused", "", version="m", status="refused", marks={"why": "bad-input"})])
    log.writer.append([wal.frame("gap", "", rows=7, status="disk")])
    log.writer.append([wal.frame("answer", "z", version="other@1.0.0", role="champion", rows=1, packed_output=pack([[1, None]]))])
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(1), {"m": WATCH})
    assert batch.gaps == 7
    alone = LiveEvidence(tmp_path)
    batch, _ = alone.since(start(log), log.us(1), {})
    again, _ = alone.since(start(log), log.us(1), {})
    assert (batch.gaps, again.gaps) == (7, 7), "a gap counts like a row: it is told again when the cursor was not stored"
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(1), {"m": WATCH})
    assert [(one.model, one.n) for one in batch.traffic] == [("m", 1)]


def test_a_torn_tail_waits_until_it_is_whole(tmp_path, log):
    log.scored("a", 0.1)
    size = log.writer.path.stat().st_size
    log.scored("b", 0.2)
    content = log.writer.path.read_bytes()
    log.writer.path.write_bytes(content[: size + 9])
    evidence = LiveEvidence(tmp_path)
    batch, cursor = evidence.since(start(log), log.us(1), {"m": WATCH})
    assert sum(one.n for one in batch.traffic) == 1
    log.writer.path.write_bytes(content)
    batch, _ = evidence.since(cursor, log.us(2), {"m": WATCH})
    assert sum(one.n for one in batch.traffic) == 1


def busy(logs, seconds=20):
    """A rollout with keys, errors, late and missing labels over two gateways; yields after each second."""
    rng = random.Random(4)
    waiting = []
    for second in range(seconds):
        for k in range(12):
            log = rng.choice(logs)
            request, at, key = f"r{second}-{k}", second + k / 20, rng.choice(["", "k1", "k2", f"k{second}"])
            new = rng.random() < 0.25
            marks = {"ro": "ro", "w": 2500}
            common = {"key": key, "marks": marks, "day": rng.randrange(3)}
            names = ("1.1.0", "1.0.0") if new else ("1.0.0", "1.1.0")
            log.scored(
                request,
                at,
                version=names[0],
                role="challenger" if new else "champion",
                values=(rng.randrange(2),),
                status=rng.choice(["ok"] * 9 + ["error"]),
                **common,
            )
            log.scored(request, at, version=names[1], role="shadow", kind="shadow", values=(rng.randrange(2),), **common)
            if rng.random() < 0.8:
                waiting.append((at + rng.random() * 6, request, rng.randrange(2), rng.choice(logs)))
        for due in sorted(one for one in waiting if one[0] < second + 1):
            due[3].label(due[1], due[0], due[2])
        waiting = [one for one in waiting if one[0] >= second + 1]
        yield second + 1


def added(batches):
    found = Counter()
    for batch in batches:
        for one in batch.traffic:
            for name in ("n", "errors", "units", "bad_units"):
                found["traffic", one.version, one.role, name] += getattr(one, name)
        for one in batch.quality:
            for name in ("matured", "labelled", "correct", "tp", "fn"):
                found["quality", one.version, one.role, one.slice, name] += getattr(one, name)
        for one in batch.pairs:
            for name in ("minus", "zero", "plus"):
                found["pairs", one.counts.slice, name] += getattr(one.counts, name)
        for one in batch.blocks:
            found["losses", one.version, "n"] += len(one.losses)
            found["losses", one.version, "sum"] += sum(one.losses)
    return +found


def play(tmp_path, restart, seal_after=None):
    logs = [Log(tmp_path, "g0"), Log(tmp_path, "g1")]
    blobs, rows = LocalBlobs(tmp_path / "blobs"), []

    def fresh():
        return LiveEvidence(tmp_path, blobs=blobs, sealed=lambda: rows)

    evidence, cursor, batches = fresh(), start(logs[0]), []
    for second in busy(logs):
        if restart(second):
            evidence = fresh()
        batch, cursor = evidence.since(cursor, logs[0].us(second), {"m": WATCH})
        batches.append(batch)
        if second == seal_after:
            rows += [seal_away(log, blobs) for log in logs]
    batches.append(evidence.since(cursor, logs[0].us(60), {"m": WATCH})[0])
    for log in logs:
        log.writer.close()
    return added(batches)


def seal_away(log, blobs):
    """The gateway goes on in its next segment; the finished one becomes a blob and its file goes."""
    (file,) = [one for one in wal.segments(log.writer.path.parent.parent) if one.path == log.writer.path]
    log.writer.rotate()
    log.writer.append([log.writer.declare(f"m@{version}", ["x", "day"]) for version in ("1.0.0", "1.1.0")])
    event = sealer.seal(file, blobs)
    file.path.unlink()
    header, _ = wal.read_header(log.writer.path)
    # virtual seconds go on where they were: the clock of the new segment's header is the same real clock
    log.mono += (header.monotonic_ns - log.mono) - (header.wall_ns - log.wall)
    return SegmentRow(**{name: getattr(event, name) for name in SegmentRow.__struct_fields__})


def test_a_segment_that_was_sealed_counts_once_and_still_joins_its_labels(tmp_path):
    expected = play(tmp_path / "never", lambda _: False)
    assert play(tmp_path / "kept", lambda _: False, seal_after=8) == expected
    assert play(tmp_path / "restarted", lambda second: second >= 8, seal_after=8) == expected


def test_a_sealed_segment_that_was_never_read_is_read(tmp_path, log):
    log.scored("a", 0.1)
    blobs = LocalBlobs(tmp_path / "blobs")
    row = seal_away(log, blobs)
    evidence = LiveEvidence(tmp_path, blobs=blobs, sealed=lambda: [row])
    batch, cursor = evidence.since(start(log), log.us(1), {"m": WATCH})
    assert sum(one.n for one in batch.traffic) == 1
    assert evidence.since(cursor, log.us(2), {"m": WATCH})[0].traffic == ()
    assert LiveEvidence(tmp_path, blobs=blobs, sealed=lambda: [row]).since(cursor, log.us(2), {"m": WATCH})[0].traffic == ()


def test_a_restart_at_any_moment_counts_nothing_twice_and_loses_nothing(tmp_path):
    expected = play(tmp_path / "never", lambda _: False)
    assert expected["pairs", "", "zero"] > 0
    assert play(tmp_path / "always", lambda _: True) == expected
    assert play(tmp_path / "thrice", lambda second: second in {3, 9, 15}) == expected


def test_a_cursor_that_was_not_stored_gives_the_same_counts_again(tmp_path):
    logs = [Log(tmp_path, "g0")]
    evidence, cursor = LiveEvidence(tmp_path), start(logs[0])
    for second in busy(logs, 10):
        again, _ = evidence.since(cursor, logs[0].us(second), {"m": WATCH})
        batch, after = evidence.since(cursor, logs[0].us(second), {"m": WATCH})
        assert added([again]) == added([batch])
        cursor = after
    logs[0].writer.close()


def test_a_quiet_log_is_not_read_back_and_its_sealed_segments_are_not_looked_through(tmp_path, log, monkeypatch):
    looks = []
    evidence = LiveEvidence(tmp_path, blobs=LocalBlobs(tmp_path / "blobs"), sealed=lambda: looks.append("sealed") or ())
    rebuild = LiveEvidence._rebuild
    monkeypatch.setattr(LiveEvidence, "_rebuild", lambda self, *args: looks.append("back") or rebuild(self, *args))
    log.scored("a", 0.1)
    _, stored = evidence.since(start(log), log.us(1), {"m": WATCH})
    looks.clear()
    # nothing counts, so the caller stores no newer cursor; that a label came does
    assert evidence.since(stored, log.us(2), {"m": WATCH})[0].traffic == ()
    log.label("a", 2.5, 1)
    batch, stored = evidence.since(stored, log.us(3), {"m": WATCH})
    assert [one.came for one in batch.labels] == [1]
    log.scored("b", 3.5)
    batch, newer = evidence.since(stored, log.us(7), {"m": WATCH})
    assert looks == []
    assert sum(one.n for one in batch.traffic) == 1
    assert [(one.matured, one.labelled) for one in whole(batch)] == [(1, 1)]
    # what did count and was not stored is counted again
    again, _ = evidence.since(stored, log.us(7), {"m": WATCH})
    assert "back" in looks
    assert (again.traffic, again.quality, newer.until) == (batch.traffic, batch.quality, log.us(7))


def test_the_log_and_frames_of_the_same_rows_give_the_same_counts(tmp_path):
    logs = [Log(tmp_path, "g0"), Log(tmp_path, "g1")]
    for _ in busy(logs):
        pass
    live, _ = LiveEvidence(tmp_path).since(start(logs[0]), logs[0].us(60), {"m": WATCH})
    rows, labels = [], []
    for file in wal.segments(tmp_path / "log"):
        for record in wal.read(file.path)[0]:
            if record.kind == "label":
                labels.append({"request_id": record.request_id, "at": record.at, "value": record.output[0][0]})
            elif record.kind in {"answer", "shadow"}:
                output = record.output[0] if record.output else [None]
                rows.append(
                    {
                        "request_id": record.request_id,
                        "at": record.at,
                        "version": record.version.removeprefix("m@"),
                        "role": record.role,
                        "rollout": "ro",
                        "weight": 2500,
                        "key": record.key_hash or None,
                        "status": record.status,
                        "latency_us": 2000,
                        "value": output[0],
                        "day": record.input[0][1],
                    }
                )
    folder = Folder(WATCH)
    folder.add(pl.DataFrame(rows, infer_schema_length=None), pl.DataFrame(labels))
    assert added([folder.take(logs[0].us(60))]) == added([live])
    for log in logs:
        log.writer.close()


def test_a_model_that_is_watched_later_starts_with_what_comes_then(tmp_path, log):
    log.scored("a", 0.1)
    evidence = LiveEvidence(tmp_path)
    batch, cursor = evidence.since(start(log), log.us(1), {})
    assert batch.traffic == ()
    log.scored("b", 1.5)
    batch, _ = evidence.since(cursor, log.us(2), {"m": WATCH})
    assert sum(one.n for one in batch.traffic) == 1


def test_labels_of_strangers_are_told(tmp_path, log):
    log.scored("a", 0.1)
    log.label("a", 0.5, 1)
    log.label("a", 0.6, 1)
    log.label("stranger", 0.7, 1)
    evidence = LiveEvidence(tmp_path)
    _, cursor = evidence.since(start(log), log.us(1), {"m": WATCH})
    evidence.since(cursor, log.us(30), {"m": WATCH})
    tally = evidence.labels()["m"]
    assert (tally.unmatched, tally.duplicates, tally.waiting) == (1, 1, 0)


def test_wall_time_of_rows_is_the_wall_time_of_the_log(tmp_path, log):
    log.scored("a", 0)
    batch, _ = LiveEvidence(tmp_path).since(start(log), time.time_ns() // 1000 + S, {"m": WATCH})
    assert abs(batch.traffic[0].minute - time.time() // 60) <= 1


def test_a_column_that_no_caller_sends_is_not_counted_as_missing(tmp_path, log):
    """A transform has a reference of drift, and is in no request."""
    bins = tuple(Bins(column=name, kind="numeric", edges=(0.5,), counts=(5, 5), n=10) for name in ("x", "x_squared"))
    evidence, watch = LiveEvidence(tmp_path), msgspec.structs.replace(WATCH, bins=bins)
    log.scored("a", 1)
    batch, _ = evidence.since(Cursor(), log.us(2), {"m": watch})
    assert [counts.column for counts in batch.inputs] == ["x"]


def test_a_file_that_a_power_cut_emptied_is_told_once_and_the_others_still_count(tmp_path, log, capsys):
    log.scored("a", 1)
    lost = tmp_path / "log" / "g1" / "000000.wal"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"\0" * 4096)
    evidence = LiveEvidence(tmp_path)
    batch, cursor = evidence.since(Cursor(), log.us(2), {"m": WATCH})
    assert sum(part.n for part in batch.traffic) == 1
    log.scored("b", 3)
    batch, cursor = evidence.since(cursor, log.us(4), {"m": WATCH})
    assert sum(part.n for part in batch.traffic) == 1
    assert capsys.readouterr().err.count("000000.wal") == 1
    again, _ = LiveEvidence(tmp_path).since(cursor, log.us(5), {"m": WATCH})
    assert not again.traffic


def answered(log, first, count):
    """So many answers from a second on, half a millisecond apart."""
    for place in range(count):
        log.scored(f"{first}-{place}", first + place / 2_000)


QUIET = msgspec.structs.replace(WATCH, arms={})


def told(batch):
    return sum(one.n for one in batch.traffic)


def minute(log):
    """The second in which the log's next minute begins."""
    return 60.0 - log.us(0) / 1e6 % 60


def test_a_busy_log_is_counted_in_one_go_and_nothing_of_it_is_lost(tmp_path, log):
    live, found, begin = LiveEvidence(tmp_path), [], minute(log)
    cursor = Cursor()
    for second in range(12):
        answered(log, begin + second, 1_200)
        batch, cursor = live.since(cursor, log.us(begin + second + 0.9), {"m": QUIET})
        found.append(told(batch))
    assert found == [1_200, *[0] * 11]
    # what is left is counted as soon as no more comes
    last, _ = live.since(cursor, log.us(begin + 13), {"m": QUIET})
    assert told(last) == 11 * 1_200


def test_a_minute_that_closed_is_counted_at_once(tmp_path, log):
    live, begin = LiveEvidence(tmp_path), minute(log)
    _, cursor = live.since(Cursor(), log.us(begin - 20), {"m": QUIET})
    answered(log, begin - 10, 1_200)
    early, cursor = live.since(cursor, log.us(begin - 1), {"m": QUIET})
    last, _ = live.since(cursor, log.us(begin + 0.1), {"m": QUIET})
    assert (told(early), told(last)) == (0, 1_200)


def test_a_breach_elsewhere_is_of_the_minute_of_its_prediction(tmp_path, log):
    elsewhere = msgspec.structs.replace(QUIET, patience=Span.parse("2d"))
    made = log.us(-7_200)
    log.scored("late", 1, marks={"t": [made], "cv": [{"x": "marked"}]})
    batch, _ = LiveEvidence(tmp_path).since(Cursor(), log.us(3), {"m": elsewhere})
    (told_of,) = batch.refusals
    assert (told_of.minute, told_of.breaches) == (made // 60_000_000, {"marked x": 1})
    assert {one.minute for one in batch.traffic} == {told_of.minute}, "a share of those of the same minute"


def test_a_very_busy_log_waits_for_no_minute(tmp_path, log):
    live, begin = LiveEvidence(tmp_path), minute(log)
    _, cursor = live.since(Cursor(), log.us(begin), {"m": QUIET})
    answered(log, begin, 4_000)
    early, cursor = live.since(cursor, log.us(begin + 2), {"m": QUIET})
    answered(log, begin + 2, 100_000)
    last, _ = live.since(cursor, log.us(begin + 55), {"m": QUIET})
    assert (told(early), told(last)) == (0, 104_000), "eight megabytes at most are left unread"


def test_a_quiet_log_is_read_at_once_and_so_is_one_of_a_rollout(tmp_path, log):
    for watch in (QUIET, WATCH):
        live, cursor = LiveEvidence(tmp_path), Cursor(until=log.us(0))
        _, cursor = live.since(cursor, log.us(0.1), {"m": watch})
        answered(log, 1, 10 if watch is QUIET else 1_200)
        batch, cursor = live.since(cursor, log.us(2), {"m": watch})
        assert told(batch) >= 10


def test_a_segment_that_is_finished_is_read_before_it_can_be_sealed(tmp_path, log):
    live = LiveEvidence(tmp_path)
    begin = minute(log)
    _, cursor = live.since(Cursor(), log.us(begin + 0.1), {"m": QUIET})
    answered(log, begin + 1, 1_200)
    batch, cursor = live.since(cursor, log.us(begin + 2), {"m": QUIET})
    assert told(batch) == 0
    log.writer.rotate()
    batch, _ = live.since(cursor, log.us(begin + 3), {"m": QUIET})
    assert told(batch) == 1_200


def test_a_restart_while_a_busy_log_waits_counts_everything_once(tmp_path, log):
    live, begin = LiveEvidence(tmp_path), minute(log)
    answered(log, begin, 1_200)
    first, cursor = live.since(Cursor(), log.us(begin + 1), {"m": QUIET})
    answered(log, begin + 1, 1_200)
    waited, cursor = live.since(cursor, log.us(begin + 2), {"m": QUIET})
    again, _ = LiveEvidence(tmp_path).since(cursor, log.us(begin + 3), {"m": QUIET})
    assert (told(first), told(waited), told(again)) == (1_200, 0, 1_200)


def test_what_comes_with_a_label_is_counted_where_it_is_asked_for(tmp_path, log):
    watch = msgspec.structs.replace(WATCH, attributes={"sex": ("f", "m"), "band": ("1", "2")}, slices=())
    for name in ("a", "b", "c", "d"):
        log.scored(name, 0.1)
    for name, attributes in (
        ("a", {"sex": "f", "band": 1.0, "age": 7}),
        ("b", {"sex": "x", "band": 2}),
        ("c", {"sex": ["f"]}),
        ("d", None),
    ):
        log.writer.append([wal.label_frame("m", name, 1, 0, now_ns=log.mono + 10**9, attributes=attributes)])
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": watch})
    assert {one.slice: one.labelled for one in batch.quality} == {"": 4, "sex=f": 1, "band=1": 1, "band=2": 1}
    unasked, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": WATCH})
    assert {one.slice for one in unasked.quality} == {"", "day=1"}


def test_scores_of_all_classes_are_read_from_the_log(tmp_path, log):
    watch = msgspec.structs.replace(WATCH, task="multiclass", classes=("a", "b", "c"), slices=())
    for name, scores in (("r1", [0.2, 0.7, 0.1]), ("r2", [0.5, 0.25, 0.25]), ("r3", None), ("r4", [1.0])):
        packed = pack([["b", scores]])
        log.writer.append(
            [
                wal.frame(
                    "answer",
                    name,
                    picked_ns=log.mono,
                    answered_ns=log.mono,
                    version="m@1.0.0",
                    role="champion",
                    rows=1,
                    packed_input=pack([[0.5, 1]]),
                    packed_output=packed,
                )
            ]
        )
        log.label(name, 1, "b")
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": watch})
    [quality] = whole(batch)
    assert (quality.labelled, quality.correct, quality.scored) == (4, 4, 2)
    assert quality.log_loss == pytest.approx(-math.log(0.7) - math.log(0.25))


def test_a_slice_by_an_expression_is_made_of_the_logged_request(tmp_path, log):
    text = (pl.col("x") > pl.col("day")).meta.serialize(format="json")
    watch = msgspec.structs.replace(WATCH, slices=(), derived={"dear": text}, reads=("x", "day"))
    log.scored("a", 0.1, day=0)
    log.scored("b", 0.2, day=3)
    log.scored("c", 0.3, day=None)
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": watch})
    assert {one.slice: one.matured for one in batch.quality} == {"": 3, "dear=true": 1, "dear=false": 1}


def test_labels_that_cannot_be_used_are_counted_as_what_they_are(tmp_path, log):
    log.scored("a", 2)
    log.label("a", 1, 1)
    log.label("a", 3, 1)
    log.label("a", 4, 0)
    log.label("other-version", 3, 1)
    log.label("a", 9, 1)
    evidence = LiveEvidence(tmp_path)
    batch, cursor = evidence.since(start(log), log.us(8), {"m": WATCH})
    last, _ = evidence.since(cursor, log.us(40), {"m": WATCH})
    found = [one for each in (batch, last) for one in each.labels]
    counts = {name: sum(getattr(one, name) for one in found) for name in ("came", "duplicates", "corrected", "late", "early")}
    assert counts == {"came": 5, "duplicates": 1, "corrected": 1, "late": 1, "early": 1}
    assert last.unmatched == {"m": 1}


def test_after_a_restart_labels_are_told_as_if_there_had_been_none(tmp_path, log):
    log.scored("a", 0)
    log.scored("b", 0)
    log.label("a", 1, 1)
    evidence = LiveEvidence(tmp_path)
    _, cursor = evidence.since(start(log), log.us(6), {"m": WATCH})
    log.label("a", 7, 1)
    log.label("b", 7, 1)
    again, _ = LiveEvidence(tmp_path).since(cursor, log.us(8), {"m": WATCH})
    going_on, _ = evidence.since(cursor, log.us(8), {"m": WATCH})
    assert again.labels == going_on.labels
    assert sum(one.late for one in going_on.labels) == 2


def test_the_rows_of_a_request_of_a_ranking_are_a_list(tmp_path, log):
    watch = msgspec.structs.replace(WATCH, task="ranking", ranked=("ndcg_at_10",), arms={})
    for second in range(3):
        name = f"search-{second}"
        log.scored(name, second / 10, values=(3.0, 2.0, 1.0), marks={"ids": [f"{name}:{item}" for item in "abc"]})
        for item, value in zip("abc", (0, 1, 0), strict=True):
            log.label(f"{name}:{item}", 1, value)
    log.scored("alone", 0.9, values=(1.0,))
    log.label("alone", 1, 1)
    batch, _ = LiveEvidence(tmp_path).since(start(log), log.us(10), {"m": watch})
    [quality] = whole(batch)
    assert (quality.matured, quality.labelled) == (10, 10)
    assert (quality.ranked["ndcg_at_10"].n, quality.ranked["ndcg_at_10"].empty) == (4, 0)
    assert quality.ranked["ndcg_at_10"].total == pytest.approx(3 / math.log2(3) + 1)
    assert {one.slice for one in batch.quality} == {"", "day=1"}


def test_of_two_labels_in_one_request_the_later_counts_whatever_else_they_say(log, tmp_path):
    moment = log.mono + 2 * 10**9
    log.scored("a", 1)
    log.writer.append(
        [wal.label_frame("m", "a", value, 0, now_ns=moment, attributes=told) for value, told in ((0, {"sex": "f"}), (1, None))]
    )
    batch, _ = LiveEvidence(tmp_path).since(Cursor(), log.us(60), {"m": WATCH})
    assert [(one.labelled, one.correct) for one in batch.quality if not one.slice] == [(1, 1)]


NUMBERS = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**53 + 1, -0.0, math.inf, math.nan, None]))
TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(["", "\0", "a\0", "é" * 20, "x" * 64, "y" * 65, "z" * 256, None]))
TIMES = st.sampled_from([1_000_000, 2_000_000, 2_000_400, 3_000_000, 70_000_000_000])


def written(kind, request, at, version, role, key, row, value, score, marks):
    if kind == "label":
        return wal.label_frame("m", request, value, 0, now_ns=at, attributes=marks if marks and "sex" in marks else None)
    return wal.frame(
        kind,
        request,
        picked_ns=at,
        answered_ns=at + 3_000,
        version=f"m@{version}",
        role=role,
        key_hash=key,
        rows=1,
        packed_input=pack([list(row)]),
        packed_output=pack([[value, score]]),
        marks=marks,
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.builds(
            written,
            st.sampled_from(["answer", "answer", "shadow", "label", "label"]),
            st.sampled_from(["a", "b", "é", "x" * 300]),
            TIMES,
            st.sampled_from(["1.0.0", "1.1.0"]),
            st.sampled_from(["champion", "challenger", "shadow"]),
            st.sampled_from(["", "k" * 32]),
            st.tuples(NUMBERS, TEXTS),
            st.sampled_from([0, 1, 1.0, True, None]),
            st.one_of(st.floats(0, 1), st.sampled_from([0, 1, None])),
            st.sampled_from([None, None, {"ro": "ro", "w": 5_000}, {"fb": "champion"}, {"sex": "f"}, {}]),
        ),
        max_size=20,
        # one request is answered once
        unique_by=lambda one: one if b"label" in one[8:16] else wal.record(memoryview(one)[8:], 0).request_id,
    )
)
def test_what_is_read_as_columns_counts_as_what_is_read_record_by_record(frames):
    watch = msgspec.structs.replace(
        WATCH, reads=("x",), bins=(Bins(column="x", kind="numeric", edges=(0.0,), counts=(5, 5), nulls=0, n=10),)
    )
    found = []
    for as_columns in (True, False):
        data = b"".join(frames)
        stretch = wal.Stretch(data, wal.sound(data), 0, len(data))
        intake = evidence._Intake({f"m@{version}": ("x", "day") for version in ("1.0.0", "1.1.0")}, {"m": watch})
        if as_columns:
            intake.take_stretch(stretch)
        else:
            intake.take(stretch.records())
        folder = Folder(watch)
        intake.into({"m": folder})
        found.append(repr([folder.take(until) for until in (2_000, 60 * S, 600 * S)]))
    assert found[0] == found[1]
