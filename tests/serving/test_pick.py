from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute
from flyball.serving.pick import Picker


def route(weight: int, salt: str = "ro_1") -> Picker:
    arms = (
        Arm(version="1.0.0", role="champion", artifact="a", weight=10_000 - weight),
        Arm(version="1.1.0", role="challenger", artifact="b", weight=weight),
    )
    return Picker(ModelRoute(signature=Signature(task="binary", fields=()), arms=arms, salt=salt))


@given(key=st.text(), low=st.integers(0, 10_000), high=st.integers(0, 10_000))
def test_a_key_that_has_the_challenger_keeps_it_as_the_weight_grows(key: str, low: int, high: int) -> None:
    low, high = sorted((low, high))
    if route(low).pick(key).role == "challenger":
        assert route(high).pick(key).role == "challenger"


def test_the_share_is_the_weight() -> None:
    picker = route(500)
    share = sum(picker.pick(f"user-{i}").role == "challenger" for i in range(20_000)) / 20_000
    assert abs(share - 0.05) < 5 * (0.05 * 0.95 / 20_000) ** 0.5


def test_another_rollout_deals_the_keys_anew() -> None:
    first, second = route(1000, "ro_1"), route(1000, "ro_2")
    both = sum({one.pick(f"user-{i}").role for one in (first, second)} == {"challenger"} for i in range(20_000))
    assert abs(both / 20_000 - 0.01) < 0.004


def test_weight_zero_is_never_picked_and_full_weight_always() -> None:
    assert {route(0).pick(f"{i}").role for i in range(1000)} == {"champion"}
    assert {route(10_000).pick(f"{i}").role for i in range(1000)} == {"challenger"}


def test_a_route_without_arms_picks_nothing() -> None:
    assert Picker(ModelRoute(signature=Signature(task="binary", fields=()), arms=())).pick("k") is None
