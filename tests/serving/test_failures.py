"""Requests without a valid token are counted, and bounded in every direction."""

from __future__ import annotations

import pytest

from flyball.serving import failures
from flyball.serving.failures import A_MINUTE, Failures, TurnedAway, source_of
from flyball.serving.problems import TooMany


class Time:
    def __init__(self) -> None:
        self.s = 0.0

    def failures(self) -> Failures:
        return Failures(lambda: self.s, lambda: int(self.s * 1e6))


@pytest.fixture
def time() -> Time:
    return Time()


def refused(failures: Failures, address: str = "10.0.0.1") -> float:
    try:
        failures.failed(address, "no token was sent")
    except TooMany as error:
        return error.retry_after
    return 0.0


def test_an_address_has_ten_attempts_and_then_one_every_six_seconds(time: Time) -> None:
    seen = time.failures()
    assert [refused(seen) for _ in range(A_MINUTE)] == [0.0] * A_MINUTE
    assert 0 < refused(seen) <= 6
    assert refused(seen, "10.0.0.2") == 0.0
    time.s += 6.1
    assert refused(seen) == 0.0
    assert refused(seen) > 0
    time.s += 3600
    assert [refused(seen) for _ in range(A_MINUTE)] == [0.0] * A_MINUTE
    assert refused(seen) > 0


def test_all_attempts_of_an_address_are_told_together(time: Time) -> None:
    seen = time.failures()
    for _ in range(25):
        time.s += 0.01
        refused(seen)
    [one] = seen.take()
    assert (one.source, one.count, one.since, one.until) == ("10.0.0.1", 25, 10_000, 250_000)
    assert seen.take() == ()


def test_what_another_process_counted_is_added(time: Time) -> None:
    seen = time.failures()
    refused(seen)
    seen.add(TurnedAway(source="10.0.0.1", count=4, since=-5, until=7, why="the token is not valid"))
    assert [(one.count, one.since, one.until) for one in seen.take()] == [(5, -5, 7)]


def test_a_flood_of_addresses_takes_no_more_room_than_a_few(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_MOST", 20)
    seen = time.failures()
    for number in range(1_000):
        refused(seen, f"10.0.{number // 256}.{number % 256}")
    told = seen.take()
    assert len(told) == 21
    assert sum(one.count for one in told) == 1_000
    assert len(seen._buckets) == 20


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        ("a:b:c", "unknown"),
    ],
)
def test_a_network_of_ipv6_is_one_caller(address: str, source: str) -> None:
    assert source_of(address) == source
