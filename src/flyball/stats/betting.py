"""Paired quality of two versions that see the same requests: evidence that may be looked at after every row.

D = correct_new − correct_old of a row is −1, 0 or 1 and X = (D+1)/2 lies in [0, 1]. A gambler who bets the fraction λ on
X − m, m = (1−δ)/2, holds Π(1 + λ(X−m)); against a fair or losing game the chance that the average of 16 such fortunes ever reaches
1/α is at most α (Ville). So E ≥ 20 promotes at α = .05 and E ≥ 1/(.01 π) rolls back, whenever one looks.

A loss that is not 0/1 enters as fractions of a row: D = clip((loss_old − loss_new)/cap, −1, 1) adds max(D, 0) to `plus`, max(−D, 0) to
`minus` and 1 − |D| to `zero`. As log is concave, this interpolation is at most the log of the exact bet: evidence is only ever lost, so
the error rates hold.

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2024); Howard et al. (2021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flyball.stats.logspace import Floats, log_mean_exp

GRID: Floats = np.geomspace(0.01, 0.95, 16)
"""Sixteen fractions of the largest bet; which of them wins is not known beforehand, so all are held in equal parts."""


def log_growth(losses: Floats, bound: float) -> Floats:
    """log(1 + λ(x − m₀)) of each bet λ = g/m₀ on losses (n,) in [0, 1], shape (16, n). `bound`: m₀ in (0, 1].

    >>> log_growth(np.array([0.0, 1.0]), 0.5).shape
    (16, 2)
    """
    ones = losses == 1
    if bool((ones | (losses == 0)).all()):
        # most losses are right or wrong, and a logarithm of each bet says all of them
        won, lost = (np.log1p(GRID / bound * (loss - bound)) for loss in (1.0, 0.0))
        return np.where(ones, won[:, None], lost[:, None])
    found: Floats = np.log1p(np.outer(GRID / bound, losses - bound))
    return found


class Evidence(NamedTuple):
    """Natural logarithms: `promote` against "worse than the margin", `roll_back` against "no worse than the margin"."""

    promote: float
    roll_back: float


def _log_e(minus: float, zero: float, plus: float, bets: Floats, centre: float) -> float:
    return log_mean_exp(
        minus * np.log1p(-bets * centre) + zero * np.log1p(bets * (0.5 - centre)) + plus * np.log1p(bets * (1 - centre)),
    )


def evidence(minus: float, zero: float, plus: float, delta: float) -> Evidence:
    """Log E⁺ and log E⁻ of paired rows.

    `minus`, `zero`, `plus`: rows in which the new version alone was wrong, both alike, the old alone was wrong (≥ 0, may be fractions).
    `delta`: non-inferiority margin in metric units (0.01 = one point), −1 < δ < 1. H₀ of E⁺: mean of D ≤ −δ; of E⁻: ≥ −δ.
    Raises ValueError for a margin or counts outside these bounds.

    >>> found = evidence(60, 2880, 60, 0.01)
    >>> round(found.promote, 4), round(found.roll_back, 4)
    (2.1755, -1.6088)
    """
    if not -1 < delta < 1:
        raise ValueError(f"the margin must lie between −1 and 1, not {delta}")
    if min(minus, zero, plus) < 0:
        raise ValueError(f"counts cannot be negative: {minus}, {zero}, {plus}")
    centre = (1 - delta) / 2
    return Evidence(
        promote=_log_e(minus, zero, plus, GRID / centre, centre),
        roll_back=_log_e(minus, zero, plus, -GRID / (1 - centre), centre),
    )


def split(difference: float) -> tuple[float, float, float]:
    """A row's (minus, zero, plus) for D = `difference`, clipped to [−1, 1]; whole rows for −1, 0 and 1.

    >>> split(-0.25)
    (0.25, 0.75, 0.0)
    """
    clipped = min(1.0, max(-1.0, difference))
    return max(-clipped, 0.0), 1.0 - abs(clipped), max(clipped, 0.0)


def labels_to_promote(discordant: float, delta: float) -> tuple[float, float]:
    """Labels that an equal version needs, about: (median, ninth of ten) = (8, 17) × ψ/δ².

    `discordant`: ψ, the share of rows on which exactly one version is wrong; `delta` > 0, else ValueError.

    >>> labels_to_promote(0.04, 0.01)
    (3200.0, 6800.0)
    """
    if delta <= 0:
        raise ValueError("without a margin above 0 an equal version is never shown to be no worse")
    return round(8 * discordant / delta**2, 6), round(17 * discordant / delta**2, 6)
