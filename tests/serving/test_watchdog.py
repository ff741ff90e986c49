"""The supervisor sees that the loop makes no passes, says so, and ends what hangs; what is well is left alone."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flyball.serving.layout import read_json
from flyball.serving.watchdog import START_S, Limits, Watchdog, post

PID = 4_711


class World:
    """A loop that beats when it is told to, and a clock that goes when it is told to."""

    def __init__(self, root: Path, *, silent_s: float = 60, kill_s: float = 300, url: str = "") -> None:
        self.root, self.moment, self.said, self.beats = root, 1_000.0, [], 0
        self.started = 1_700_000_000_000_000
        self.limits = Limits(silent_s, kill_s, url)
        self.dog = self.made()

    def made(self) -> Watchdog:
        return Watchdog(
            self.root / "loop.json",
            self.root / "watchdog.json",
            self.limits,
            self.said.append,
            moment=lambda: self.moment,
            wall=lambda: self.wall,
        )

    @property
    def wall(self) -> int:
        return self.started + int((self.moment - 1_000) * 1e6)

    def beat(self, pid: int = PID) -> None:
        self.beats += 1
        scratch = self.root / f"scratch{self.beats}"
        scratch.write_text(json.dumps({"at": 1, "pid": pid}))
        scratch.replace(self.root / "loop.json")

    def wait(self, seconds: float, pid: int = PID, *, beating: bool = False) -> int:
        """Look twice a second; how often it was to be killed."""
        killed = 0
        for _ in range(int(2 * seconds)):
            self.moment += 0.5
            if beating:
                self.beat(pid)
            killed += self.dog.look(pid)
        return killed

    @property
    def told(self) -> dict[str, object]:
        found = read_json(self.root / "watchdog.json")
        return found if isinstance(found, dict) else {}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.beat()
    made.wait(1)
    return made


def test_a_loop_that_makes_passes_is_left_alone(world: World) -> None:
    assert world.wait(2_000, beating=True) == 0
    assert (world.said, world.told) == ([], {})


def test_a_loop_without_a_pass_for_a_minute_is_said_to_be_dead_once_and_so_is_its_return(world: World) -> None:
    world.wait(59)
    assert world.said == []
    world.wait(120)
    assert len(world.said) == 1
    assert world.said[0].startswith("the loop has made no pass for 6")
    assert (world.told["silent"], world.told["ended"], world.told["killed"]) == (True, 0, 0)
    world.beat()
    world.wait(1)
    assert world.said[1].startswith("the loop makes passes again")
    assert world.told["silent"] is False
    assert int(str(world.told["ended"])) > int(str(world.told["began"])) > 0


def test_a_control_plane_that_hangs_is_killed_and_the_next_time_it_has_twice_as_long(world: World) -> None:
    assert world.wait(298) == 0
    assert world.wait(5) == 1
    world.beat(PID)
    assert world.wait(1) == 0
    assert world.wait(298) == 0, "a pass begins it anew"
    assert world.wait(3) == 1
    assert world.wait(295) == 0
    assert world.wait(10) == 1, "after twice the time"
    assert world.told["killed"] == 2


def test_one_that_has_made_no_pass_yet_has_half_an_hour(world: World) -> None:
    other = PID + 1
    assert world.wait(START_S - 10, other) == 0
    assert world.wait(20, other) == 1
    assert len([text for text in world.said if text.startswith("the loop has made no pass")]) == 1


def test_a_first_pass_has_the_usual_time_however_short_the_limit(tmp_path: Path) -> None:
    world = World(tmp_path, silent_s=2)
    world.wait(50)
    assert world.said == []
    world.beat()
    world.wait(5)
    assert len(world.said) == 1


def test_one_that_is_killed_before_it_would_be_said_to_be_dead_is_said_to_be_and_is_back_with_its_next_pass(tmp_path: Path) -> None:
    world = World(tmp_path, kill_s=30)
    world.beat()
    world.wait(1)
    assert world.wait(31) == 1
    assert (world.told["silent"], world.told["began"] != 0) == (True, True)
    world.beat()
    world.wait(1)
    assert world.told["silent"] is False
    assert world.wait(31) == 1, "a pass begins it anew"


def test_nothing_is_killed_where_that_is_off(tmp_path: Path) -> None:
    world = World(tmp_path, kill_s=0)
    world.beat()
    assert world.wait(5_000) == 0
    assert world.told["silent"] is True


def test_the_sleep_of_the_machine_speaks_against_nobody(world: World) -> None:
    world.moment += 10_000
    assert world.wait(30) == 0
    assert world.said == []


def test_a_control_plane_that_ends_again_and_again_is_dead_though_it_makes_passes_and_is_back_when_it_lives(world: World) -> None:
    for life in range(6):
        world.wait(3, PID + life, beating=True)
    assert len(world.said) == 1
    assert world.said[0].startswith("the control plane has ended 5 times in 12 s")
    world.wait(30, PID + 5, beating=True)
    assert (world.told["silent"], world.told["ended"]) == (False, 0), "passes are made; it may end again"
    assert len(world.said) == 1
    world.wait(40, PID + 5, beating=True)
    assert (world.told["silent"], len(world.said)) == (False, 2)
    assert int(str(world.told["ended"])) >= int(str(world.told["began"])) > 0


def test_an_outage_of_one_that_is_killed_lasts_from_its_last_pass_to_the_next_one(world: World) -> None:
    world.wait(450, beating=True)
    for life in range(1, 7):
        world.wait(0.5, 0)
        world.wait(1.5, PID + life)
    assert [text.partition(":")[0] for text in world.said] == ["the control plane has ended 5 times in 8 s"], "as long as its ends took"
    began = int(str(world.told["began"]))
    assert world.wall - began == pytest.approx(12e6, abs=1e6), "the last pass that was made"
    world.wait(3, PID + 6, beating=True)
    back = world.wall
    assert world.told["silent"] is False, "passes are made"
    world.wait(70, PID + 6, beating=True)
    assert (world.told["began"], world.told["ends"], world.told["between"]) == (began, 6, False)
    assert int(str(world.told["ended"])) == pytest.approx(back - 2.5e6, abs=1e6), "the first pass since, and not when it was sure to last"
    assert world.said[1:] == ["the loop makes passes again, after 12 s"]


def test_one_that_ends_after_it_was_back_or_makes_no_more_passes_is_dead_again_and_it_is_one_outage(tmp_path: Path) -> None:
    world = World(tmp_path, silent_s=10)
    for life in range(6):
        world.wait(3, PID + life, beating=True)
    began = world.told["began"]
    world.wait(5, 0)
    assert (world.told["silent"], world.told["ended"]) == (True, 0)
    world.wait(20, PID + 6, beating=True)
    assert world.told["silent"] is False
    world.wait(15, PID + 6)
    assert world.told["silent"] is True, "it hangs"
    world.wait(30, PID + 6, beating=True)
    assert (world.told["silent"], world.told["began"], world.told["ends"], world.told["between"]) == (False, began, 6, True)
    assert world.told["ended"] != 0
    assert len(world.said) == 2


def test_an_outage_that_was_not_sure_to_be_over_when_up_ended_is_over_with_the_next_pass(world: World) -> None:
    for life in range(7):
        world.wait(3, PID + life, beating=True)
    began = world.told["began"]
    assert world.told["ended"] == 0
    world.dog = world.made()
    world.wait(2, PID + 7, beating=True)
    assert (world.told["silent"], world.told["began"], world.told["ended"] != 0) == (False, began, True)


def test_a_restart_or_two_are_no_dead_loop(world: World) -> None:
    for life in range(3):
        world.wait(30, PID + life, beating=True)
    assert world.said == []


def test_an_outage_that_the_last_up_saw_ends_with_the_first_pass(world: World) -> None:
    world.wait(70)
    world.dog = world.made()
    world.wait(5)
    assert world.told["silent"] is True
    world.beat()
    world.wait(1)
    assert world.told["silent"] is False


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("flyball.serving.watchdog.write_json", full)
        world.wait(70)
    assert world.told == {}
    world.wait(1)
    assert world.told["silent"] is True


class Receiver:
    """A server that fails so often, and then takes what it is sent."""

    def __init__(self, fails: int) -> None:
        self.taken: list[dict[str, object]] = []
        left = [fails]
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if left[0]:
                    left[0] -= 1
                    self.send_response(503)
                else:
                    taken.append(json.loads(body))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Nonsense(socketserver.StreamRequestHandler):
    """Takes a request and answers something that is no HTTP."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"no status\r\n\r\n")


def test_an_answer_that_is_no_http_is_tried_again_and_said() -> None:
    said: list[str] = []
    waits: list[float] = []
    with socketserver.TCPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        assert not post(f"http://127.0.0.1:{server.server_address[1]}/", b"{}", said.append, wait=waits.append)
        server.shutdown()
    assert len(waits) == 5
    assert len(said) == 1


def test_that_the_loop_is_back_never_arrives_before_that_it_was_dead(tmp_path: Path) -> None:
    with Receiver(1) as receiver:
        world = World(tmp_path, url=receiver.url)
        world.beat()
        world.wait(1)
        world.wait(120)
        world.beat()
        world.wait(1)
        until = time.monotonic() + 20
        while len(receiver.taken) < 2 and time.monotonic() < until:
            time.sleep(0.02)
    assert [one["what"] for one in receiver.taken] == ["the loop is dead", "the loop makes passes again"]


@pytest.mark.parametrize(("fails", "taken"), [(0, 1), (3, 1), (99, 0)])
def test_whoever_is_to_be_told_is_told_again_until_they_take_it(fails: int, taken: int) -> None:
    said: list[str] = []
    waits: list[float] = []
    with Receiver(fails) as receiver:
        assert post(receiver.url, b'{"what": "the loop is dead"}', said.append, wait=waits.append) is bool(taken)
        assert len(receiver.taken) == taken
    assert len(waits) == min(fails, 5)
    assert bool(said) is not bool(taken)
