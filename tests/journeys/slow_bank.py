"""A bank for which hours pass in seconds, for the tests of what takes hours to be seen; each module has its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flyball.clock import Span

from .bank import Bank
from .hours import Hours
from .kit import Project, Up

SETTINGS = "[settings]\ntick_ms = 200\ndetector = 0\nestimate = 0\n"
MONITORS = (
    'fb.drift(), fb.metric("accuracy").over("6h") >= 0.4, fb.metric("error_rate") <= 0.05, fb.metric("latency_p50").over("20m") <= "400ms"'
)
PLAYBOOK = 'playbook=fb.Playbook(latency=["page", "rollback"]),'
CHANGE = {
    'guards=[fb.metric("error_rate") <= fb.champion * 2], ': "",
    'known_after="1s"': 'known_after="6h"',
    'window="60s", holdout="10s"': 'window="2d", holdout="4h"',
    'every="30d", cooldown="10s"': 'when=[fb.metric("accuracy").over("12h") < 0.62], every="300d", cooldown="5h"',
}

minutes = pytest.mark.skipif(not os.environ.get("SOAK"), reason="it takes minutes: make soak runs it")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    folder = tmp_path_factory.mktemp("slow")
    (folder / "bank").mkdir()
    hours, project, running = Hours(folder / "hours"), Project(folder / "bank"), list[Up]()
    project.write("flyball.toml", SETTINGS)

    def start() -> Up:
        running.append(Up(project, gateways=1, env=hours.env))
        return running[-1].ready()

    try:
        with Bank(
            project,
            start,
            monitors=MONITORS,
            more=PLAYBOOK,
            freshness="3d",
            callers=4,
            rows_a_request=20,
            pause_s=0.15,
            change=CHANGE,
            hours=hours,
            a_second=100 / 3600,
        ) as bank:
            yield bank
    finally:
        hours.stop()
        for up in running:
            up.stop()


@pytest.fixture
def hours(bank: Bank) -> Iterator[Hours]:
    """Time goes as it does, until a test says otherwise; nothing is wrong before, and nothing after."""
    assert bank.hours is not None
    bank.calm()
    yield bank.hours
    bank.hours.run("0s")


def passes(bank: Bank, hours: Hours, span: str, leap: str) -> None:
    """So much time goes by there."""
    until = hours.now() + Span.parse(span).seconds
    hours.run(leap)
    bank.wait(lambda: hours.now() >= until, "time does not pass")
    hours.run("0s")
