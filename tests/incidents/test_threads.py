"""What several models' incidents have in common, and what a thread of several says of itself."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.incidents.test_messages import DAY, HOUR, MINUTE, T, incident, make_model, said_after

import flyball as fb
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.incidents import messages, threads
from flyball.incidents.messages import AGAIN
from flyball.incidents.threads import AT_ONCE, joint
from flyball.records.incidents import IncidentState

OPEN, MITIGATED, CLOSED = IncidentState.OPEN, IncidentState.MITIGATED, IncidentState.CLOSED


def of(model, mode, monitor, where="", **more):
    return incident(incident=f"inc_{model}", model=model, failure_mode=mode, alert=f"{model}/{monitor}/{where}", **more)


def named(name):
    return dataclasses.replace(make_model(), name=name)


@pytest.mark.parametrize(
    ("mode", "monitor", "where", "key", "lasts"),
    [
        ("stale_data", "data is fresh", "rows", "data rows", True),
        ("stale_data", "requests arrive", "", "stale_data requests arrive", False),
        ("input_drift", "drift of inputs", "amount", "column rows.amount", True),
        ("input_drift", "drift of inputs", "amount in region=north", "column rows.amount", True),
        ("schema_change", "requests keep their contract", "amount", "column rows.amount", True),
        ("late_labels", "labels arrive", "", "late_labels rows.y", True),
        ("errors", "error_rate ≤ 1%", "", "errors", False),
        ("evidence_gap", "answers are logged", "", "evidence_gap", False),
    ],
)
def test_what_incidents_may_share(mode, monitor, where, key, lasts):
    found = threads.shared(of("m", mode, monitor, where), make_model())
    assert (found.key, found.within is None) == (key, lasts)


@pytest.mark.parametrize(
    "mode", ["concept_drift", "performance", "bias", "policy_violation", "retrain_storm", "complaint", "bad_release", "skew"]
)
def test_what_is_one_models_own_is_told_by_itself(mode):
    assert threads.shared(of("m", mode, "loss since release"), make_model()) is None


def test_models_that_read_one_feature_share_its_view():
    data = Dataset("sales", source="s.csv", time="ts", columns={"amount": float, "shop": str})
    view = fb.FeatureView("spend", data, entity="shop", ttl="7d", owner="shop", features={"total": fb.window("1d").sum("amount")})
    base = make_model()
    model = Model("f", task="binary", data=base.data, label="y", owner="ana", framing=base.framing, features=[view.on("x")])
    assert threads.shared(of("f", "skew", "features are served as trained", "total"), model) == threads.Shared("features spend.total")


def test_only_what_begins_about_then_shares_a_machine_and_data_are_shared_as_long_as_it_lasts():
    first, late = of("a", "errors", "error_rate ≤ 1%"), of("b", "errors", "error_rate ≤ 5%", opened_at=T + AT_ONCE + 1)
    assert threads.joins(msgspec.structs.replace(late, opened_at=T + AT_ONCE), named("b"), first, named("a"))
    assert not threads.joins(late, named("b"), first, named("a"))
    stale, later = of("a", "stale_data", "data is fresh", "rows"), of("b", "stale_data", "data is fresh", "rows", opened_at=T + 9 * DAY)
    assert threads.joins(later, named("b"), stale, named("a"))
    assert not threads.joins(later, named("b"), stale, named("a"), live=False)
    assert not threads.joins(msgspec.structs.replace(later, state=MITIGATED), named("b"), stale, named("a"))
    assert not threads.joins(msgspec.structs.replace(later, model="a"), named("a"), stale, named("a")), (
        "of one model there is one incident a cause"
    )
    assert not threads.joins(first, named("a"), stale, named("b"))


def test_a_thread_is_live_while_one_is_and_over_when_all_are():
    a, b = of("a", "errors", "e"), of("b", "errors", "e", actions=("ticket",), overdue=("mitigate",))
    assert joint([a], None) is a
    both = joint([a, b], None)
    assert (both.incident, both.model, both.state, both.actions, both.overdue) == (
        "inc_a",
        "a",
        OPEN,
        ("page", "rollback", "ticket"),
        ("mitigate",),
    )
    done = msgspec.structs.replace(a, state=MITIGATED, mitigated_at=T + HOUR, notes=("mitigated: so",))
    assert (joint([done, b], None).state, joint([done, b], None).mitigated_at) == (OPEN, 0)
    assert joint([done, b], None).alert == "a/e/", "and has one name, whichever goes on"
    over = msgspec.structs.replace(b, state=MITIGATED, mitigated_at=T + 2 * HOUR, notes=("mitigated: the feed is back",))
    both = joint([done, over], None)
    assert (both.state, both.mitigated_at, both.notes) == (MITIGATED, T + 2 * HOUR, ("mitigated: the feed is back",))
    closed = msgspec.structs.replace(done, state=CLOSED, closed_at=T + DAY)
    assert joint([closed, over], None).state == MITIGATED
    assert joint([closed, msgspec.structs.replace(over, state=CLOSED, closed_at=T + DAY)], None).state == CLOSED


def test_somebody_who_is_on_one_of_them_is_on_all_and_is_not_woken_again():
    a, b = of("a", "errors", "e"), of("b", "errors", "e", notes=("acknowledged by user:ana",))
    [first] = messages.of_incident(joint([a, of("b", "errors", "e")], None), None, named("a"), T, others={"inc_b": "b"})
    said = said_after(first)
    assert messages.again_due(joint([a, of("b", "errors", "e")], said), said) == T + AGAIN
    both = joint([a, b], said)
    assert messages.acknowledged_by(both) == "user:ana"
    assert messages.again_due(both, said) is None
    [told] = messages.of_incident(both, said, named("a"), T + 9 * AGAIN, others={"inc_b": "b"})
    assert told.told == "acknowledged"


def test_the_message_names_all_models_and_later_ones_join_without_waking_anybody():
    a, b = of("a", "stale_data", "data is fresh", "rows", what="pipeline break"), of("b", "stale_data", "data is fresh", "rows")
    [first] = messages.of_incident(joint([a, b], None), None, named("a"), T, others={"inc_b": "b"})
    assert first.title == "2 models (a and b): pipeline break"
    assert (first.thread, first.models, first.along, messages.wakes(first)) == ("inc_a", ("a", "b"), ("inc_b",), True)
    assert "in a and b since" in first.text
    said = said_after(first)
    assert list(messages.of_incident(joint([a, b], said), said, named("a"), T, others={"inc_b": "b"})) == []
    others = {"inc_b": "b", "inc_c": "c", "inc_d": "d"}
    rows = [a, b, *(of(name, "stale_data", "data is fresh", "rows") for name in "cd")]
    [more] = messages.of_incident(joint(rows, said), said, named("a"), T + MINUTE, others=others)
    assert (more.told, more.act, more.thread, messages.wakes(more)) == ("joined", "trigger", "inc_a", False)
    assert more.title.endswith("now of c and d too")
    said = messages.after(said, more, "risk", T + MINUTE)
    assert threads.members(said) == ["inc_b", "inc_c", "inc_d"]
    assert list(messages.of_incident(joint(rows, said), said, named("a"), T + MINUTE, others=others)) == []


def test_one_that_opens_again_while_another_was_open_all_the_time_is_no_news():
    a, b = of("a", "errors", "e"), of("b", "errors", "e", reopened_at=T + HOUR)
    [first] = messages.of_incident(joint([a, b], None), None, named("a"), T, others={"inc_b": "b"})
    assert joint([a, b], said_after(first)).reopened_at == 0
    told = msgspec.structs.replace(said_after(first), marks=(*said_after(first).marks, f"mitigated {T + MINUTE}"))
    assert joint([a, b], told).reopened_at == T + HOUR, "but where all were over, it is"


@given(st.lists(st.sampled_from(list(IncidentState)), min_size=2, max_size=5))
def test_a_thread_is_in_the_least_state_of_its_incidents(states):
    order = list(IncidentState)
    rows = [of(str(number), "errors", "e", state=state) for number, state in enumerate(states)]
    assert joint(rows, None).state == min(states, key=order.index)


def test_long_lists_are_cut():
    assert messages.listed(["a"]) == "a"
    assert messages.listed(["a", "b", "c"]) == "a, b and c"
    assert messages.listed([str(n) for n in range(10)]) == "0, 1, 2 and 7 more"
