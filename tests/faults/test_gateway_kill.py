"""kill -9 of a gateway under load loses no answered request from the log."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from flyball.serving import wal
from flyball.serving.heard import listened

from ..serving.conftest import Loans, Up, champion, eventually  # noqa: TID252 - the processes are started the same way

pytestmark = pytest.mark.process


def test_every_request_answered_before_a_kill_is_in_the_log_after_it(tmp_path: Path) -> None:
    loans = Loans(tmp_path)
    artifact = loans.artifact()
    began = time.time_ns() // 1000
    up = Up(loans)
    try:
        up.make(loans.route(champion(artifact)))
        answered: list[str] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                try:
                    with httpx.Client(base_url=up.url, timeout=10) as client:
                        while not stop.is_set():
                            response = client.post("/models/credit/predict", json={"row": {"amount": 5.0, "age": 30}})
                            if response.status_code == 200:
                                assert "flyball-logged" not in response.headers
                                answered.append(response.json()["predictions"][0]["id"])
                except httpx.TransportError:
                    continue  # the killed gateway's connections: asked again on a new one

        threads = [threading.Thread(target=load) for _ in range(6)]
        for thread in threads:
            thread.start()
        for kill in range(3):
            goal = len(answered) + 100
            eventually(lambda goal=goal: len(answered) > goal, "no answers")
            before = up.gateways()
            name = f"g{kill % 2}"
            os.kill(before[name], signal.SIGKILL)
            eventually(lambda name=name, old=before[name]: up.gateways()[name] not in (old, 0), "the gateway was not started again")
            eventually(lambda: all(_acknowledged(loans, *item) for item in up.gateways().items()), "the new gateway has no routes")
        stop.set()
        for thread in threads:
            thread.join()
        logged = {
            record.request_id for file in wal.segments(loans.layout.log) for record in wal.read(file.path)[0] if record.kind == "answer"
        }
        assert len(answered) > 300
        assert len(set(answered)) == len(answered)
        assert set(answered) <= logged
        assert len({file.path for file in wal.segments(loans.layout.log)}) >= 5
    finally:
        code, _, err = up.stop()
    assert code == 0
    assert "killed by SIGKILL" in err
    # a gateway that is started again at once was never away
    stretches = listened(loans.layout)
    assert len(stretches) == 2
    assert all(began <= since < until <= time.time_ns() // 1000 for since, until in stretches)


def _acknowledged(loans: Loans, name: str, pid: int) -> bool:
    return json.loads(loans.layout.ack(name).read_bytes())["pid"] == pid
