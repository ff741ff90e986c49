"""Costs choose from which score on a row is called positive: by themselves where scores are probabilities, by rows where they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.deciding import cheapest, decide

COSTS = {"false_positive": 1.0, "false_negative": 4.0}


def paid(y: np.ndarray, score: np.ndarray, at: float) -> float:
    return float((1.0 * ((score >= at) & (y == 0)) + 4.0 * ((score < at) & (y == 1))).mean())


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = rng.beta(1, 3, n)
    return (rng.uniform(0, 1, n) < chance).astype(float), chance


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.3, 0.3000001, 0.7, 1.0])), min_size=1, max_size=30))
def test_no_threshold_is_cheaper_than_the_cheapest(rows: list[tuple[int, float]]):
    y, score = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    at = cheapest(y, score, COSTS)
    every = [0.0, *(score + 1e-9), *score, 1.1]
    assert paid(y, score, at) == pytest.approx(min(paid(y, score, each) for each in every))


def test_of_probabilities_it_is_what_the_costs_say():
    taken = [decide(*drawn(2_000, seed), COSTS) for seed in range(60)]
    # another is shown to be cheaper by chance alone in at most a twentieth, and costs hardly more then
    assert sum(each.at == 0.2 for each in taken) >= 54
    assert all(each.by_costs == 0.2 and each.rows == 2_000 for each in taken)


def test_of_scores_that_are_none_it_is_what_rows_show_to_be_cheaper():
    y, chance = drawn(4_000, 1)
    pushed = chance**0.25
    found = decide(y, pushed, COSTS)
    assert "cheaper than what costs say" in found.why
    assert found.at == pytest.approx(0.2**0.25, abs=0.08)
    assert found.cost < 0.8 * 1000 * paid(y, pushed, 0.2)
    assert found.cost_at_half > found.cost


def test_rows_of_one_entity_are_one_and_stand_in_one_half():
    # 400 entities of 10 rows that are all alike: by rows a threshold that fits these entities looks cheaper on the other half, which has them too
    def repeated(seed: int, *, known: bool) -> float:
        y, chance = drawn(400, seed)
        y, chance, of = np.repeat(y, 10), np.repeat(chance, 10), np.repeat(np.arange(400), 10)
        return decide(y, chance, COSTS, of if known else None).at

    seeds = range(60)
    assert sum(repeated(seed, known=True) != 0.2 for seed in seeds) <= 6
    assert sum(repeated(seed, known=False) != 0.2 for seed in seeds) > 30, "the fault that this guards against"


def test_too_few_entities_leave_it_to_the_costs_and_say_so():
    y, chance = drawn(2_000, 0)
    assert "40 entities have validation rows, too few" in decide(y, chance, COSTS, np.arange(2_000) % 40).why


def test_too_few_rows_leave_it_to_the_costs_and_say_so():
    y, chance = drawn(150, 0)
    found = decide(y, chance, COSTS)
    assert found.at == 0.2
    assert "150 validation rows" in found.why
    assert found.cost is None
    y, chance = np.zeros(5_000), np.full(5_000, 0.1)
    assert "0 positive, are too few" in decide(y, chance, COSTS).why


def test_where_a_miss_is_dear_a_half_without_one_shows_nothing():
    """2% positives, a miss a hundred times as dear: in a third of such halves no positive is missed at a higher threshold, and costs would seem lower."""
    costs = {"false_positive": 1.0, "false_negative": 100.0}
    shown = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        chance = random.beta(0.04, 1.96, 3_000)
        y = (random.random(3_000) < chance).astype(float)
        shown += "is shown" not in (found := decide(y, chance, costs)).why and "too few" not in found.why
    assert shown <= 6
