import pytest

from flyball.errors import Conflict
from flyball.records.rollouts import ACTIVE, RolloutState
from flyball.rollout.states import HELD, RUNNING, TERMINAL, TRANSITIONS, require

ARROWS = [(source, target) for source in RolloutState for target in RolloutState]


def test_every_state_stands_in_the_table():
    assert set(TRANSITIONS) == set(RolloutState)


@pytest.mark.parametrize(("source", "target"), ARROWS)
def test_an_arrow_is_taken_only_if_the_table_has_it(source, target):
    if target in TRANSITIONS[source]:
        require(source, target)
    else:
        with pytest.raises(Conflict, match="cannot become"):
            require(source, target)


def test_every_active_state_leads_to_an_end_and_no_end_leads_on():
    assert frozenset(RolloutState) - ACTIVE == TERMINAL
    for state in ACTIVE:
        reached, border = set(), {state}
        while border:
            reached |= border
            border = {target for source in border for target in TRANSITIONS[source]} - reached
        assert reached & TERMINAL
    assert not any(TRANSITIONS[state] for state in TERMINAL)


def test_whatever_runs_or_is_held_can_go_back():
    assert all(RolloutState.ROLLING_BACK in TRANSITIONS[state] for state in RUNNING | HELD)
