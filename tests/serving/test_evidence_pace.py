"""How often a log of many models is counted: what a look costs by each model sets when the next one comes, and nothing is lost by it."""

from __future__ import annotations

import msgspec
import pytest

from flyball.clock import Span
from flyball.records.evidence import Cursor, Watch
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence

pack = msgspec.msgpack.encode
QUIET = Watch(model="m", task="binary", label_delay=Span.parse("5s"))
ROLLOUT = msgspec.structs.replace(QUIET, arms={"ro": ("1.1.0", "1.0.0")})


class Many:
    """A log in virtual time in which each of so many models answers once a second. `second` counts from the minute's beginning."""

    def __init__(self, root, models, *, rollouts=False):
        self.models = [f"m{number}" for number in range(models)]
        self.watches = {name: msgspec.structs.replace(ROLLOUT if rollouts else QUIET, model=name) for name in self.models}
        self.writer = wal.Writer(root / "log", "g0", reserve_bytes=0)
        header, _ = wal.read_header(self.writer.path)
        begin = 60_000_000_000 - header.wall_ns % 60_000_000_000
        self.mono, self.wall = header.monotonic_ns + begin, header.wall_ns + begin
        self.writer.append([self.writer.declare(f"{name}@1.0.0", ["x"]) for name in self.models])

    def us(self, second):
        return (self.wall + round(second * 1e9)) // 1000

    def answer(self, second, models=None):
        picked = self.mono + round(second * 1e9)
        given = {"epoch": 1, "role": "champion", "rows": 1, "packed_input": pack([[0.5]]), "packed_output": pack([[1, 0.7]])}
        self.writer.append(
            [
                wal.frame("answer", f"{name}-{second}", picked_ns=picked, answered_ns=picked + 1_000_000, version=f"{name}@1.0.0", **given)
                for name in models or self.models
            ]
        )


@pytest.fixture
def many(tmp_path):
    made = []

    def make(models, **given):
        made.append(Many(tmp_path, models, **given))
        return made[-1]

    yield make
    for each in made:
        each.writer.close()


def counted(live, log, seconds, models=None, cursor=None):
    """How many rows each look counts, one a second, and the cursor after the last."""
    found, cursor = [], cursor or Cursor(until=log.us(0))
    for second in seconds:
        log.answer(second, models)
        batch, cursor = live.since(cursor, log.us(second + 0.9), log.watches)
        found.append(sum(one.n for one in batch.traffic))
    return found, cursor


@pytest.mark.parametrize("rollouts", [False, True])
def test_the_next_look_comes_a_tenth_of_a_second_later_for_each_model_that_was_counted(tmp_path, many, rollouts):
    found, _ = counted(LiveEvidence(tmp_path), many(30, rollouts=rollouts), range(10))
    assert found == [30, 0, 0, 90, 0, 0, 90, 0, 0, 90]


def test_a_rollout_waits_for_no_more_than_ten_seconds(tmp_path, many):
    found, _ = counted(LiveEvidence(tmp_path), many(200, rollouts=True), range(21))
    assert found == [200, *[0] * 9, 2_000, *[0] * 9, 2_000]


def test_ten_models_are_counted_each_second(tmp_path, many):
    found, _ = counted(LiveEvidence(tmp_path), many(10), range(6))
    assert found == [10] * 6


def test_of_many_models_of_which_few_answer_each_second_is_counted(tmp_path, many):
    log, live = many(200), LiveEvidence(tmp_path)
    found, _ = counted(live, log, range(6), log.models[:3])
    assert found == [3] * 6


def test_a_minute_that_closes_is_counted_at_once(tmp_path, many):
    log, live = many(200), LiveEvidence(tmp_path)
    found, cursor = counted(live, log, range(50, 60))
    last, cursor = live.since(cursor, log.us(60.1), log.watches)
    assert (found, sum(one.n for one in last.traffic)) == ([200, *[0] * 9], 9 * 200)
    assert {one.minute for one in last.traffic} == {log.us(0) // 60_000_000}


def test_a_restart_meanwhile_counts_everything_once(tmp_path, many):
    log = many(100)
    first, cursor = counted(LiveEvidence(tmp_path), log, range(4))
    again, _ = counted(LiveEvidence(tmp_path), log, range(4, 5), cursor=cursor)
    assert (sum(first), sum(again)) == (100, 400)
