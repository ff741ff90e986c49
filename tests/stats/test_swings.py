"""By how much the loss differs between hours and days beyond chance, as a hold-out shows it."""

import numpy as np

from flyball.stats.swings import swing

HOUR = 3_600_000_000


def week(seed: int, *, days: float = 0.0, hours: float = 0.0, rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Errors of seven days: 20% of `rows` a day, and days, or the hours of each day, that differ by so much."""
    chance = np.random.default_rng(seed)
    times = np.sort(chance.integers(0, 7 * 24 * HOUR, size=7 * rows))
    share = 0.2 + days * chance.normal(size=7)[times // (24 * HOUR)] + hours * np.cos(2 * np.pi * times / (24 * HOUR))
    return (chance.uniform(size=times.size) < share).astype(float), times


def test_rows_that_are_draws_of_their_own_thin_the_evidence_by_little() -> None:
    found = [swing(*week(seed)) for seed in range(200)]
    assert 1.2 <= np.median(found) <= 2.2
    # of eight weeks φ is known better
    many = [
        swing(np.concatenate([a for a, _ in parts]), np.concatenate([t + 7 * 24 * HOUR * k for k, (_, t) in enumerate(parts)]))
        for parts in _weeks()
    ]
    assert np.median(many) < np.median(found)


def _weeks() -> list[list[tuple[np.ndarray, np.ndarray]]]:
    return [[week(100 * seed + each) for each in range(8)] for seed in range(50)]


def test_days_that_differ_are_told_by_how_much_and_seldom_by_too_little() -> None:
    # v = .16, of 500 rows: φ = 1 + 500 · .05² / .16
    found = np.array([swing(*week(seed, days=0.05)) for seed in range(300)])
    assert np.mean(found < 8.8) <= 0.33
    assert np.median(found) < 25


def test_hours_that_differ_are_told_though_days_do_not() -> None:
    assert np.median([swing(*week(seed, hours=0.08)) for seed in range(50)]) > 2.3


def test_few_rows_and_losses_that_are_all_alike_tell_nothing() -> None:
    losses, times = week(1, days=0.1)
    assert swing(losses[:20], times[:20]) == 1.0
    assert swing(np.zeros(100), np.arange(100) * HOUR) == 1.0
    assert swing(np.array([]), np.array([], dtype=np.int64)) == 1.0
