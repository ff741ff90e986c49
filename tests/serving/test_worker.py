"""A worker answers what it can read as one batch; a poisonous row fails alone, and shadow questions keep nobody waiting."""

import socket
import threading
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from flyball.evaluation.explanations import Contributions
from flyball.features.online.kept import not_kept
from flyball.serving import wire
from flyball.serving.worker import Scored, Worker
from flyball.training.explaining import Explanation, Way

pack = msgspec.msgpack.encode


class Doubling:
    """Doubles a number; fails on None, and takes `each_s` for a batch and `row_s` for each of its rows."""

    def __init__(self, each_s=0.0, row_s=0.0):
        self.batches = []
        self._each_s, self._row_s = each_s, row_s

    def now(self):
        return 0

    def score(self, rows, times):
        time.sleep(self._each_s + self._row_s * len(rows))
        self.batches.append(len(rows))
        if any(value == -1 for (value,) in rows):
            raise not_kept("habits", 0, 3_600_000_000)
        if any(value is None for (value,) in rows):
            raise ValueError("it takes no None")
        return Scored([[2 * value, None] for (value,) in rows])


class Slowly(Doubling):
    """Takes 20 ms to explain a row."""

    explainer = SimpleNamespace(way=Way("linear", "value", lambda *_: []))

    def explain(self, row, moment):
        time.sleep(0.02)
        if row == [None]:
            raise ValueError("it takes no None")
        return Explanation(2 * row[0], None, Contributions(0.0, 2.0 * row[0], np.array([2.0 * row[0]])), (("n", row[0], 2.0 * row[0]),))


class NoHistory:
    def refresh(self):
        """Nothing to read."""


@pytest.fixture
def serve(tmp_path):
    ended = []

    def start(scorer):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "w"))
        listener.listen()
        worker = Worker(scorer, NoHistory(), listener, -1)
        thread = threading.Thread(target=worker.run)
        thread.start()
        gateway = socket.socket(socket.AF_UNIX)
        gateway.settimeout(20)
        gateway.connect(str(tmp_path / "w"))
        ended.append((worker, thread, gateway))
        return gateway

    yield start
    for worker, thread, gateway in ended:
        gateway.close()
        worker.stop()
        thread.join(10)
        assert not thread.is_alive()


def question(tag, value, *, shadow=False):
    return wire.question(tag, None, pack([[value]]), shadow=shadow)


def explain_question(tag, rows, *, within_s=20.0):
    return wire.explain_question(tag, None, pack(rows), time.monotonic_ns() + int(within_s * 1e9))


def replies(gateway, count):
    splitter, found = wire.Splitter(), []
    while len(found) < count:
        found += [wire.decode_reply(frame) for frame in splitter.feed(gateway.recv(1 << 16))]
    return [(one.tag, one.error, msgspec.msgpack.decode(one.output)) for one in found]


def test_only_the_guilty_question_of_a_batch_fails_and_it_costs_few_more_batches(serve):
    scorer = Doubling()
    gateway = serve(scorer)
    gateway.sendall(b"".join(question(tag, None if tag == 77 else tag) for tag in range(128)))
    found = replies(gateway, 128)
    assert [tag for tag, error, _ in found if error] == [77]
    assert all(output == [[2 * tag, None]] for tag, error, output in found if not error)
    assert sum(scorer.batches) < 128 * 3, "halves: not each question by itself"
    assert len(scorer.batches) <= 2 * 7 + 1 + 2, "and the kernel may cut the first read in two"


def test_a_question_about_a_moment_that_is_not_kept_is_told_apart_from_a_failure(serve):
    gateway = serve(Doubling())
    gateway.sendall(question(1, 1) + question(2, -1) + question(3, None))
    found = {tag: (error, output) for tag, error, output in replies(gateway, 3)}
    assert found[1] == (None, [[2, None]])
    error, (code, why, fix, retry_after) = found[2]
    assert error == 'view "habits" keeps no rows online for 1970-01-01T00:00:00Z'
    assert (code, retry_after) == ("not-kept", None)
    assert "from 1970-01-01T01:00:00Z on" in why
    assert fix
    assert found[3] == ("ValueError: it takes no None", None)


def test_an_answer_does_not_wait_behind_shadow_questions(serve):
    gateway = serve(Doubling(each_s=0.03))
    gateway.sendall(b"".join(question(tag, tag, shadow=True) for tag in range(60)))
    before = replies(gateway, 20)
    gateway.sendall(question(1_000, 1))
    after = [tag for tag, _, _ in replies(gateway, 60 - len(before) + 1)]
    assert after.index(1_000) <= 16, "it went before all but the shadow questions already taken up"


def test_shadow_questions_keep_an_answer_no_longer_than_answers_themselves_do(serve):
    scorer = Doubling(row_s=0.004)
    gateway = serve(scorer)
    for tag in range(10):
        gateway.sendall(question(tag, tag))
        replies(gateway, 1)
    gateway.sendall(b"".join(question(tag, tag, shadow=True) for tag in range(200)))
    replies(gateway, 200)
    assert max(scorer.batches) <= 4, "a batch grows until it takes half as long again as an answer"
    assert sum(scorer.batches[10:]) / len(scorer.batches[10:]) < 2.5


def test_where_every_batch_is_slow_shadow_questions_do_not_starve(serve):
    scorer = Doubling(each_s=0.07)
    gateway = serve(scorer)
    gateway.sendall(b"".join(question(tag, tag, shadow=True) for tag in range(200)))
    replies(gateway, 200)
    assert len(scorer.batches) <= 30, "one at a time would be 14 a second"


def test_shadow_questions_gather_so_that_a_batch_answers_many(serve):
    scorer = Doubling()
    gateway = serve(scorer)
    for tag in range(200):
        gateway.sendall(question(tag, tag, shadow=True))
        time.sleep(0.001)
    assert sorted(tag for tag, _, _ in replies(gateway, 200)) == list(range(200))
    assert len(scorer.batches) < 40, "some 50 ms of questions at a time, and never 200 batches of one"
    gateway.sendall(question(1_000, 1, shadow=True))
    assert replies(gateway, 1)[0][0] == 1_000, "the last one does not wait for others for ever"


def test_an_answer_waits_for_one_row_that_is_explained_and_for_no_more(serve):
    gateway = serve(Slowly())
    gateway.sendall(explain_question(1, [[value] for value in range(50)]))
    for tag in (2, 3, 4):
        gateway.sendall(question(tag, tag))
        assert replies(gateway, 1)[0][0] == tag, "the explanations take a second, and are there after it"
    ((tag, error, (method, space, rows)),) = replies(gateway, 1)
    assert (tag, error, method, space, len(rows)) == (1, None, "linear", "value", 50)
    assert rows[3] == [6, None, 0.0, 6.0, [["n", 3, 6.0]]]


def test_a_worker_that_ends_before_it_is_woken_is_stopped_all_the_same(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "w"))
    listener.listen()
    worker = Worker(Slowly(), NoHistory(), listener, -1)
    thread = threading.Thread(target=worker.run)

    class Slow:
        """What wakes it, behind the loop in its thread: that has seen it by then, and gone."""

        def send(self, data):
            thread.start()
            thread.join(10)
            return waking.send(data)

        def close(self):
            waking.close()

    waking, worker._wake = worker._wake, Slow()
    worker.stop()
    assert not thread.is_alive()


def test_an_explanation_that_fails_is_told_as_such_and_the_next_is_made(serve):
    gateway = serve(Slowly())
    gateway.sendall(explain_question(1, [[None]]) + explain_question(2, [[1]]))
    first, second = replies(gateway, 2)
    assert first == (1, "ValueError: it takes no None", None)
    assert second[1] is None


def test_explanations_of_a_gateway_that_has_left_are_not_made(serve, tmp_path):
    scorer = Slowly()
    asked = []
    scorer.explain = lambda row, moment: asked.append(row) or Slowly.explain(scorer, row, moment)
    gateway = serve(scorer)
    with socket.socket(socket.AF_UNIX) as leaving:
        leaving.connect(str(tmp_path / "w"))
        leaving.sendall(explain_question(1, [[value] for value in range(500)]))
        while not asked:
            time.sleep(0.005)
    gateway.sendall(explain_question(2, [[7]]))
    assert replies(gateway, 1)[0][0] == 2
    assert len(asked) < 100


def test_what_is_asked_to_be_explained_and_given_up_keeps_the_worker_from_nothing(serve):
    scorer = Slowly()
    asked = []
    scorer.explain = lambda row, moment: asked.append(row) or Slowly.explain(scorer, row, moment)
    gateway = serve(scorer)
    given_up = [explain_question(tag, [[tag]] * 500, within_s=0.2) for tag in range(1, 9)]
    began = time.monotonic()
    gateway.sendall(b"".join(given_up) + explain_question(9, [[9]]))
    ((tag, error, _),) = replies(gateway, 1)
    assert (tag, error) == (9, None)
    assert time.monotonic() - began < 5, "4,000 rows would have taken 80 seconds"
    assert len(asked) <= 12, "the first was given up between two of its rows, and the others were not begun"
    assert [row for row in asked if row[0] not in (1, 9)] == []


def test_more_explanations_than_a_worker_has_a_place_for_are_told_to_come_back(serve):
    gateway = serve(Slowly())
    gateway.sendall(b"".join(explain_question(tag, [[1]] * 50) for tag in range(200)))
    first, *others = replies(gateway, 100)
    error, (code, _, fix, retry_after) = first[1], first[2]
    assert error == "64 requests for explanations are waiting"
    assert (code, fix, retry_after) == ("unavailable", "ask again in a moment", 1.0)
    assert all(each[1] == error for each in others)
