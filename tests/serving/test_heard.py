"""A gateway notes when it listened; its absence, a kill and a machine that sleeps are gaps."""

from __future__ import annotations

from flyball.serving.heard import MOST, Listening, listened, read_stretches
from flyball.serving.layout import Layout

SECOND = 1_000_000


class Clock:
    def __init__(self, at):
        self.at = at

    def __call__(self):
        return self.at


def test_what_it_listened_is_one_stretch_and_a_restart_goes_on_with_it(tmp_path):
    clock, path = Clock(1_000 * SECOND), tmp_path / "g0.json"
    listening = Listening(path, now=clock)
    for _ in range(100):
        clock.at += SECOND
        listening.note()
    assert read_stretches(path) == [(1_000 * SECOND, 1_091 * SECOND)], "every ten seconds"
    listening.close()
    clock.at += 20 * SECOND
    Listening(path, now=clock).close()
    assert read_stretches(path) == [(1_000 * SECOND, 1_120 * SECOND)]


def test_time_in_which_it_was_away_or_asleep_is_a_gap(tmp_path):
    clock, path = Clock(1_000 * SECOND), tmp_path / "g0.json"
    listening = Listening(path, now=clock)
    listening.note()
    clock.at += 3_600 * SECOND
    listening.note()
    clock.at += 15 * SECOND
    listening.note()
    assert read_stretches(path) == [(1_000 * SECOND, 1_000 * SECOND), (4_600 * SECOND, 4_615 * SECOND)]
    # killed: up to its last note; a clock that is set back a little adds nothing
    clock.at -= 6 * SECOND
    again = Listening(path, now=clock)
    again.close()
    assert read_stretches(path)[-1] == (4_600 * SECOND, 4_609 * SECOND)


def test_what_a_clock_told_that_was_ahead_is_forgotten_once_it_is_right(tmp_path):
    clock, path = Clock(400 * 86_400 * SECOND), tmp_path / "g0.json"
    Listening(path, now=clock).close()
    clock.at = 1_000 * SECOND
    listening = Listening(path, now=clock)
    clock.at += 30 * SECOND
    listening.note()
    assert read_stretches(path) == [(1_000 * SECOND, 1_030 * SECOND)]


def test_a_file_that_is_none_says_nothing_and_all_gateways_count(tmp_path):
    layout = Layout(tmp_path)
    layout.prepare()
    assert listened(layout) == []
    layout.heard("g0").write_text("[[1,")
    for other in ('{"a": 1}', '[["a", "b"]]', "[[1e400, 2]]", "[[1.5, true]]"):
        layout.heard("g1").write_text(other)
        assert listened(layout) == []
    for name, at in (("g0", 5), ("g1", 9)):
        Listening(layout.heard(name), now=Clock(at * SECOND)).close()
    assert listened(layout) == [(5 * SECOND, 5 * SECOND), (9 * SECOND, 9 * SECOND)]


def test_the_file_stays_small(tmp_path):
    clock, path = Clock(10**15), tmp_path / "g0.json"
    listening = Listening(path, now=clock)
    for _ in range(2 * MOST):
        clock.at += 90 * SECOND
        listening.note()
    assert len(read_stretches(path)) == MOST
