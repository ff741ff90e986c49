"""The table of failure modes says of each all that there is to say, and the page of the documents is that table."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.declare.policy import ACTIONS, FAILURE_MODES, FIXED, Playbook
from flyball.errors import DeclarationError
from flyball.incidents import playbook
from flyball.incidents.playbook import DEFAULTS, MODES, FailureMode

PAGE = Path(__file__).parents[2] / "docs" / "incidents.md"
ISSUED = {
    "pipeline break", "schema change", "input drift", "concept drift", "skew between training and serving", "latency", "errors", "cost spike",
    "policy violation", "bias", "retrain storm", "label outage", "dead loop", "complaint",
}  # fmt: skip


def test_every_failure_mode_that_operators_know_is_one_of_the_table() -> None:
    assert {mode.known_as for mode in MODES} >= ISSUED
    assert {mode.name for mode in MODES} >= set(FAILURE_MODES)
    assert len(DEFAULTS) == len(MODES)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_each_has_a_detector_an_action_a_persons_step_and_an_end_that_is_observed(mode: FailureMode) -> None:
    assert all((mode.meaning, mode.detector, mode.human, mode.recovery, mode.actions))
    assert set(mode.actions) <= set(ACTIONS)


def test_the_page_is_the_table() -> None:
    assert playbook.table() in PAGE.read_text()
    for name, what in ACTIONS.items():
        assert f"| `{name}` | {what} |" in PAGE.read_text()


@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_a_playbook_may_say_otherwise_of_each_mode_that_is_a_models(mode: str) -> None:
    assert playbook.actions(Playbook(**{mode: "freeze"}), mode) == ("freeze",)
    assert playbook.actions(Playbook(), mode) == DEFAULTS[mode]


def test_the_reactions_that_the_page_names_are_fixed_and_no_other_is() -> None:
    """Concept drift is a loss of performance to the playbook."""
    assert {mode.name for mode in MODES} - set(FAILURE_MODES) == set(FIXED)
    assert "but for `dead_loop`, `evidence_gap` and `bad_release`, whose reactions are fixed" in PAGE.read_text()


@pytest.mark.parametrize("mode", sorted(FIXED))
def test_a_reaction_that_is_fixed_takes_no_other(mode: str) -> None:
    with pytest.raises(DeclarationError, match=f'playbook: the reaction to "{mode}" is fixed') as caught:
        Playbook(**{mode: "ticket"})
    assert caught.value.why == FIXED[mode]
    assert caught.value.fix
    assert playbook.actions(Playbook(), mode) == DEFAULTS[mode]
