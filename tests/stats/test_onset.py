"""Where a rise of the loss began, as its labels tell it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats.onset import Onset, follow


def errors(rng, *parts):
    return np.concatenate([(rng.random(n) < rate).astype(float) for n, rate in parts])


@pytest.mark.parametrize(("rate", "within"), [(0.9, 6), (0.5, 20), (0.2, 150)])
def test_the_estimate_lies_near_the_change(rate, within):
    rng = np.random.default_rng(3)
    missed = []
    for _ in range(40):
        found = follow(Onset(), errors(rng, (2_000, 0.1), (400, rate)), 0.12, since=0, until=2_400)
        missed.append(abs(found.at - 2_000))
    assert np.median(missed) <= within


def test_a_loss_that_never_rises_leaves_no_long_stretch_behind():
    rng = np.random.default_rng(4)
    stretches = [
        1_000_000 - (follow(Onset(), errors(rng, (1_000_000 // 50, 0.08)), 0.12, since=0, until=1_000_000).at or 1_000_000)
        for _ in range(20)
    ]
    assert np.median(stretches) < 20_000, "some hundreds of labels at most"


def test_a_recovery_takes_the_onset_back():
    rng = np.random.default_rng(5)
    risen = follow(Onset(), errors(rng, (500, 0.1), (200, 0.8)), 0.12, since=0, until=700)
    assert 490 <= risen.at <= 505
    well = follow(risen, errors(rng, (6_000, 0.02)), 0.12, since=700, until=6_700)
    assert well.at == 0 or well.at > 6_000


def test_a_change_older_than_the_first_label_began_there():
    assert follow(Onset(), [1.0] * 50, 0.1, since=700, until=750).at == 700


def test_another_champion_inherits_when_it_began_and_has_to_show_by_itself_that_it_goes_on():
    rng = np.random.default_rng(6)
    risen = follow(Onset(), errors(rng, (2_000, 0.1), (4_000, 0.3)), 0.12, since=0, until=6_000).handed_on()
    assert 1_900 <= risen.at <= 2_100
    still = follow(risen, errors(rng, (500, 0.3)), 0.15, since=6_000, until=6_500)
    assert still.at <= 2_100, "it goes on"
    over = follow(risen, errors(rng, (2_000, 0.1), (500, 0.3)), 0.12, since=6_000, until=8_500)
    assert 7_900 <= over.at <= 8_100, "the change after it is told from it"


def test_without_labels_nothing_is_said():
    assert follow(Onset(), [], 0.1, since=0, until=10) == Onset()
    assert Onset().at == 0


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60), st.integers(1, 59), st.floats(0.05, 0.9))
def test_the_evidence_does_not_depend_on_how_the_labels_were_cut(losses, cut, bound):
    cut = min(cut, len(losses) - 1)
    whole = follow(Onset(), losses, bound, since=90, until=90 + len(losses))
    first = follow(Onset(), losses[:cut], bound, since=90, until=90 + cut)
    parts = follow(first, losses[cut:], bound, since=90 + cut, until=90 + len(losses))
    assert parts.evidence == pytest.approx(whole.evidence, abs=1e-9)
    assert parts.began == whole.began
