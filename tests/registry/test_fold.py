"""Version events become rows, along the table's arrows only."""

from __future__ import annotations

import pytest

from flyball.errors import Conflict
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Event, Recorded
from flyball.records.estimates import Outcome, Verdict
from flyball.records.removals import REMOVED, BlobsRemoved
from flyball.records.versions import (
    MODELS,
    UNSIGNED,
    VERSIONS,
    ChampionChanged,
    VersionDeleted,
    VersionDeployed,
    VersionEligible,
    VersionHeld,
    VersionQuarantined,
    VersionRegistered,
    VersionRejected,
    VersionRetired,
    VersionSigned,
    VersionState,
)
from flyball.registry.fold import FOLDS
from flyball.registry.states import RELEASABLE, TRANSITIONS

NAME = {"model": "price", "version": "1.0.0"}
BLOB = "a" * 64
REGISTERED = VersionRegistered(**NAME, run="run_1", artifact=BLOB, result=BLOB, version_digest="v", policy_digest="p", data={}, metrics={})
ELIGIBLE = VersionEligible(**NAME, verdicts=())
DEPLOYED, RETIRED = VersionDeployed(**NAME), VersionRetired(**NAME, why="replaced")
DELETED, SIGNED = VersionDeleted(**NAME, why="old"), VersionSigned(**NAME, note="a note")
REJECTED, HELD = VersionRejected(**NAME, verdicts=()), VersionHeld(**NAME, verdicts=())
QUARANTINED = VersionQuarantined(model="price", version="1.0.0", reason="wrong labels")
REACH: dict[VersionState, list[Event]] = {
    VersionState.REGISTERED: [],
    VersionState.ELIGIBLE: [ELIGIBLE],
    VersionState.REJECTED: [REJECTED],
    VersionState.HELD: [HELD],
    VersionState.DEPLOYED: [ELIGIBLE, DEPLOYED],
    VersionState.RETIRED: [ELIGIBLE, DEPLOYED, RETIRED],
    VersionState.QUARANTINED: [ELIGIBLE, QUARANTINED],
    VersionState.DELETED: [REJECTED, DELETED],
}
ARROWS: dict[VersionState, Event] = {
    VersionState.ELIGIBLE: ELIGIBLE,
    VersionState.REJECTED: REJECTED,
    VersionState.HELD: HELD,
    VersionState.DEPLOYED: DEPLOYED,
    VersionState.RETIRED: RETIRED,
    VersionState.QUARANTINED: QUARANTINED,
    VersionState.DELETED: DELETED,
}


def played(*events: Event) -> MemoryProjection:
    projection = MemoryProjection()
    for seq, event in enumerate(events, 1):
        FOLDS[type(event)](projection, Recorded(seq, seq * 100, "loop", f"cmd_{seq}", event))
    return projection


def test_every_arrow_of_the_table_is_walked_and_every_other_is_refused():
    for source, events in REACH.items():
        for target, arrow in ARROWS.items():
            # one that is held, or whose gates were declared anew, is registered again, then judged
            again = VersionState.REGISTERED in TRANSITIONS[source] and source != VersionState.QUARANTINED
            allowed = TRANSITIONS[source] | (TRANSITIONS[VersionState.REGISTERED] if again else frozenset())
            if target in allowed:
                row = played(REGISTERED, *events, arrow).get(VERSIONS, "price/1.0.0")
                assert row is not None
                assert row.state == target
            else:
                with pytest.raises(Conflict, match=f"is {source.value}|is registered"):
                    played(REGISTERED, *events, arrow)


def test_only_an_eligible_version_ever_reaches_traffic():
    into_deployed = {source for source, targets in TRANSITIONS.items() if VersionState.DEPLOYED in targets}
    assert into_deployed <= RELEASABLE
    assert {source for source, targets in TRANSITIONS.items() if VersionState.RETIRED in targets} == {VersionState.DEPLOYED}
    assert set(TRANSITIONS) == set(VersionState)


def test_verdicts_stay_with_the_version():
    verdict = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.FAIL, why="0.5")
    row = played(REGISTERED, VersionRejected(**NAME, verdicts=(verdict,))).get(VERSIONS, "price/1.0.0")
    assert row is not None
    assert row.verdicts == (verdict,)


def test_a_new_champion_knows_the_former_one_and_a_rollback_has_none_to_go_back_to():
    second = ChampionChanged(model="price", version="1.1.0", former="1.0.0", rollback=False, reason="released")
    back = ChampionChanged(model="price", version="1.0.0", former="1.1.0", rollback=True, reason="worse")
    model = played(REGISTERED, second).get(MODELS, "price")
    assert model is not None
    assert (model.champion, model.former, model.newest, model.champion_at) == ("1.1.0", "1.0.0", "1.0.0", 200)
    model = played(REGISTERED, second, back).get(MODELS, "price")
    assert model is not None
    assert (model.champion, model.former) == ("1.0.0", "")


def test_a_number_is_used_once_and_an_unknown_version_has_no_events():
    with pytest.raises(Conflict, match="registered already"):
        played(REGISTERED, REGISTERED)
    with pytest.raises(Conflict, match="not registered"):
        played(DEPLOYED)


def test_a_version_waits_for_its_signature_until_it_has_one_or_is_deleted():
    key = "price/1.0.0"
    assert played(REGISTERED).get(UNSIGNED, key) is not None
    assert played(REGISTERED, REJECTED, DELETED).get(UNSIGNED, key) is None
    signed = played(REGISTERED, SIGNED, VersionSigned(**NAME, note="another"))
    assert signed.get(UNSIGNED, key) is None
    row = signed.get(VERSIONS, key)
    assert row is not None
    assert row.signature == "a note", "the first one stays"


def test_a_tombstone_keeps_what_is_known_and_why_it_is_one():
    row = played(REGISTERED, REJECTED, DELETED).get(VERSIONS, "price/1.0.0")
    assert row is not None
    assert (row.state, row.run, row.retired_why) == (VersionState.DELETED, "run_1", "old")


def test_a_blob_that_is_removed_again_may_be_missing_from_then_on():
    state = played(BlobsRemoved(blobs=("1" * 64, "2" * 64)), BlobsRemoved(blobs=("2" * 64,)))
    assert {key: row.since for key, row in state.scan(REMOVED)} == {"1" * 64: 1, "2" * 64: 2}
