"""What is to be told reaches real receivers, whatever they do: nothing is lost, all is in order, and what they have last is true."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyball.clock import Span, VirtualClock
from flyball.declare.columns import column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.policy import Playbook
from flyball.declare.routes import Route
from flyball.declare.training import Train
from flyball.incidents.channels import webhook
from flyball.incidents.retries import LONGEST, REFUSED
from flyball.loop.delivering import Delivering, tell, tell_project, waiting_of
from flyball.loop.findings import SettleIncident, decide_settle
from flyball.loop.live_outbox import post, send_apprise
from flyball.loop.queueing import due
from flyball.records.base import Event, Record
from flyball.records.deliveries import DELIVERIES, SAID, AlertDelivered, AlertQueued, AlertUndelivered, DeliveryState
from flyball.records.incidents import IncidentMoved, IncidentNoted, IncidentOpened, IncidentState
from flyball.wiring import Wired, open_project

from ..incidents.test_channels import BASE  # noqa: TID252 - one message for all
from .receiver_kit import Receiver, mailbox, receiving

START = 1_700_000_000_000_000
SECOND, MINUTE = Span.parse("1s"), Span.parse("1m")
SECRETS = {"KEY": "k3y-of-risk", "SIGN": "s3cret"}


class Say(Record, frozen=True):
    id: str
    actor: str = "loop"


def make_model(name: str = "m", route: str = "") -> Model:
    data = Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": column(int, one_of=(0, 1))})
    return Model(name, task="binary", data=data, label="y", train=Train(lambda X, y: (X, y)), owner="ana", playbook=Playbook(route=route))


class Town:
    """A project with routes, and the loop's part of telling, in steps of its own."""

    def __init__(self, root: Path, toml: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
        self.root, self.clock = root, VirtualClock(START)
        (root / "flyball.toml").write_text(toml)
        self.open()

    def open(self) -> None:
        self.wired: Wired = open_project(self.root, claim=True, clock=self.clock)
        self.delivering = Delivering(self.wired.ports.memory, lambda: 1.0, stays=True)
        self.outbox = self.wired.ports.outbox

    def killed(self) -> None:
        """All that the process knew is gone; the record is there."""
        self.wired.close()
        self.open()

    def happen(self, *events: Event) -> None:
        self.wired.ledger.execute(Say(id=self.clock.new_id("cmd")), lambda *_: events)

    def opens(self, incident: str = "inc_1", model: str = "m", actions: tuple[str, ...] = ("page",)) -> None:
        self.happen(
            IncidentOpened(
                incident=incident,
                model=model,
                failure_mode="errors",
                alert="",
                what="errors",
                cause="40% fail",
                owner="ana",
                actions=actions,
            )
        )

    def moves(self, source: IncidentState, target: IncidentState, incident: str = "inc_1") -> None:
        self.happen(IncidentMoved(incident=incident, source=source, target=target, why="so it was seen"))

    def tick(self, *models: Model, later: int = 0, wait: bool = True) -> None:
        """One pass: queue, send, and note what came of it."""
        self.clock.advance_to(self.clock.now() + later)
        for model in models or (make_model(),):
            tell(self.wired.ports, model)
        self.delivering.step(self.wired.ports, self.clock.now())
        if wait:
            self.delivering.finish(self.wired.ports, 20)

    def events(self, kind: type[Event]) -> list:
        return [one.event for one in self.wired.ledger.read(0, 10_000) if isinstance(one.event, kind)]

    def waiting(self) -> list[str]:
        return [row.said.told for rows in waiting_of(self.wired.ledger.state()).values() for row in rows]


def pagerduty(receiver: Receiver) -> str:
    return f'[routes]\ndefault = "risk"\n[routes.risk]\nkind = "pagerduty"\nsecret = "KEY"\nurl = "{receiver.url}"\n'


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Town]]:
    made: list[Town] = []

    def make(toml: str) -> Town:
        made.append(Town(tmp_path, toml, monkeypatch))
        return made[-1]

    yield make
    for one in made:
        one.wired.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def acts(receiver: Receiver) -> list[str]:
    return [got.body["event_action"] for got in receiver.taken]


def test_what_is_the_projects_own_is_told_by_the_route_of_everybody(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    here.opens(model="")
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    for _ in range(3):
        tell_project(here.wired.ports)
        here.tick(later=SECOND)
    assert acts(receiver) == ["trigger", "resolve"]
    assert receiver.taken[0].body["payload"]["summary"] == "the project: errors"


def test_an_incident_is_told_once_and_its_delivery_is_on_record(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    here.opens()
    here.tick(later=SECOND)
    here.tick()
    here.tick()
    [got] = receiver.taken
    assert (got.body["routing_key"], got.body["dedup_key"], got.body["event_action"]) == ("k3y-of-risk", "inc_1", "trigger")
    [queued], [delivered] = here.events(AlertQueued), here.events(AlertDelivered)
    assert (delivered.message, delivered.incident, delivered.route, delivered.attempts) == (queued.said.message, "inc_1", "risk", 1)
    assert delivered.receipt == 'it answered 202 {"status":"success"}'
    assert here.waiting() == []
    assert here.events(AlertUndelivered) == []


def test_while_a_receiver_is_away_nothing_is_lost_and_it_then_gets_all_in_order_once(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.stop()
    here.opens()
    for _ in range(5):
        here.tick(later=20 * SECOND)
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    here.tick(later=MINUTE)
    here.moves(IncidentState.MITIGATED, IncidentState.OPEN)
    here.tick(later=MINUTE)
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    here.tick(later=MINUTE)
    undelivered = here.events(AlertUndelivered)
    assert [each.why for each in undelivered] == ["it cannot be reached: Connection refused"], "once, and not at every try"
    assert here.events(AlertDelivered) == []
    receiver.start()
    here.tick(later=LONGEST)
    assert acts(receiver) == ["trigger", "resolve", "trigger", "resolve"]
    delivered = here.events(AlertDelivered)
    assert delivered[0].attempts > 3
    assert delivered[0].ms > 100_000
    here.tick(later=LONGEST)
    assert len(receiver.taken) == 4


def test_a_process_that_is_killed_goes_on_from_the_record(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.status = lambda _: 503
    here.opens()
    here.tick()
    here.killed()
    assert here.waiting() == ["opened"]
    receiver.status = lambda _: 202
    here.tick(later=LONGEST)
    assert acts(receiver) == ["trigger"]
    # killed between the answer and the record of it: it is sent again, and by its id known to be the same
    here.opens("inc_2")
    here.tick(wait=False)
    here.outbox.wait(20)
    here.killed()
    here.tick(later=LONGEST)
    first, second = (got.body["payload"]["custom_details"]["message"] for got in receiver.taken[-2:])
    assert (len(receiver.taken), first) == (3, second)
    assert here.waiting() == []


def test_a_receiver_that_hangs_delays_neither_the_loop_nor_another_route(town, receiver: Receiver) -> None:
    with receiving(hang_s=5) as slow:
        here = town(pagerduty(receiver) + f'[routes.slow]\nkind = "webhook"\nsecret = "SIGN"\nurl = "{slow.url}"\n')
        here.outbox._timeout_s = 0.5
        here.opens()
        here.opens("inc_2", "n")
        began = time.monotonic()
        here.tick(make_model(), make_model("n", "webhook:slow"), wait=False)
        assert time.monotonic() - began < 0.4
        here.delivering.finish(here.wired.ports, 20)
        assert acts(receiver) == ["trigger"]
        [event] = here.events(AlertUndelivered)
        assert (event.route, event.why) == ("slow", "it did not answer in time")
        slow.hang_s = 0
        here.tick(make_model("n", "webhook:slow"), later=LONGEST)
        assert slow.taken[-1].body["thread"] == "inc_2"
        assert here.waiting() == []


def test_a_receiver_that_answers_byte_by_byte_or_far_too_much_keeps_its_route_for_no_longer_than_the_timeout(receiver: Receiver) -> None:
    route = Route("own", "webhook", url=receiver.url)
    receiver.reply, receiver.drip_s = b"x" * 200, 0.1
    began = time.monotonic()
    assert post(webhook.request, route, BASE, "s3cret", START, 1).outcome == "delivered"
    assert time.monotonic() - began < 3
    receiver.drip_s, receiver.slow_head_s = 0, 0.1
    began = time.monotonic()
    answer = post(webhook.request, route, BASE, "s3cret", START, 1)
    assert (answer.outcome, answer.told) == ("later", "it did not answer in time")
    assert time.monotonic() - began < 3
    receiver.reply, receiver.slow_head_s = b"x" * (1 << 22), 0
    assert len(post(webhook.request, route, BASE, "s3cret", START, 5).told) < 20_000


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long(town, receiver: Receiver, status: int) -> None:
    here = town(pagerduty(receiver))
    receiver.status, receiver.headers = lambda _: status, {"retry-after": "120"}
    here.opens()
    here.tick()
    for _ in range(11):
        here.tick(later=10 * SECOND)
    assert len(receiver.got) == 1
    receiver.status = lambda _: 202
    here.tick(later=10 * SECOND)
    assert acts(receiver) == ["trigger"]


def test_a_wrong_key_is_on_record_without_the_key_and_tried_slowly(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.status, receiver.reply = lambda _: 401, b'{"error": "no such key: k3y-of-risk"}'
    here.opens()
    for _ in range(10):
        here.tick(later=MINUTE)
    [event] = here.events(AlertUndelivered)
    assert (event.refused, event.why) == (True, 'it answered 401 {"error": "no such key: …"}')
    assert len(receiver.got) == 1
    assert here.delivering.state("risk").failures == 1
    receiver.status = lambda _: 202
    here.tick(later=REFUSED)
    assert acts(receiver) == ["trigger"]


def test_what_a_receiver_refuses_keeps_no_later_message_from_it_and_is_not_sent_after_that(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.status = lambda got: 400 if got.body["event_action"] == "trigger" else 202
    here.opens()
    here.tick()
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    here.tick(later=SECOND)
    assert acts(receiver) == ["resolve"]
    receiver.status = lambda _: 202
    here.tick(later=2 * REFUSED)
    assert acts(receiver) == ["resolve"], "what it has last is what is true"
    rows = [row for _, row in here.wired.ledger.state().scan(DELIVERIES, "inc_1/")]
    assert [row.state for row in rows] == [DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]


def test_a_redirect_is_not_followed_for_what_is_said_may_be_secret(town, receiver: Receiver) -> None:
    with receiving() as elsewhere:
        here = town(pagerduty(receiver))
        receiver.status, receiver.headers = lambda _: 307, {"location": elsewhere.url}
        here.opens()
        here.tick()
        assert elsewhere.got == []
        assert here.events(AlertUndelivered)[0].why.startswith("it answered 307")


def test_a_secret_that_is_not_set_is_said_and_found_once_it_is(town, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    here = town(pagerduty(receiver))
    monkeypatch.delenv("KEY")
    here.opens()
    here.tick()
    [event] = here.events(AlertUndelivered)
    assert event.why.startswith('there is no secret "KEY"')
    assert receiver.got == []
    monkeypatch.setenv("KEY", "another")
    here.tick(later=REFUSED)
    assert receiver.taken[0].body["routing_key"] == "another"


def test_what_waits_is_tried_at_once_when_flyball_starts_anew(town, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    here = town(pagerduty(receiver))
    monkeypatch.delenv("KEY")
    here.opens()
    here.opens("inc_2")
    here.tick()
    monkeypatch.setenv("KEY", "wrong")
    receiver.status = lambda _: 401
    for _ in range(3):
        here.killed()
        here.tick(later=SECOND)
        here.tick(later=SECOND)
    assert len(receiver.got) == 3, "one message at each start, however much waits"
    receiver.status = lambda _: 202
    here.killed()
    here.tick(later=SECOND)
    assert acts(receiver) == ["trigger", "trigger"]
    assert here.waiting() == []


def test_a_command_that_ends_waits_on_for_what_failed_before_it(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.status = lambda _: 401
    here.opens()
    here.tick()
    for _ in range(3):
        here.delivering = Delivering(here.wired.ports.memory)
        here.tick(later=SECOND)
    assert len(receiver.got) == 1, "a tick each minute is no start"


def test_nobody_is_told_where_no_route_is_declared_and_a_new_route_hears_of_what_is_open(town, receiver: Receiver) -> None:
    here = town("")
    here.opens()
    here.opens("inc_old")
    here.happen(IncidentMoved(incident="inc_old", source=IncidentState.OPEN, target=IncidentState.CLOSED, why="a drill"))
    here.tick()
    assert here.events(AlertQueued) == []
    (here.root / "flyball.toml").write_text(pagerduty(receiver))
    here.killed()
    here.tick()
    assert [got.body["dedup_key"] for got in receiver.taken] == ["inc_1"]


def test_a_model_that_goes_to_another_route_ends_what_it_began_on_the_first(town, receiver: Receiver) -> None:
    with receiving() as other:
        here = town(pagerduty(receiver) + f'[routes.other]\nkind = "pagerduty"\nsecret = "KEY"\nurl = "{other.url}"\n')
        here.opens()
        here.tick(make_model(route="risk"))
        here.tick(make_model(route="pagerduty:other"), later=SECOND)
        here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
        here.tick(make_model(route="other"), later=SECOND)
        assert (acts(receiver), acts(other)) == (["trigger", "resolve"], ["trigger", "resolve"])


def test_what_waits_for_a_route_that_is_gone_is_said_and_waits(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.stop()
    here.opens()
    here.tick()
    (here.root / "flyball.toml").write_text("")
    here.killed()
    here.tick(later=LONGEST)
    here.tick(later=LONGEST)
    assert [each.why for each in here.events(AlertUndelivered)] == ["it cannot be reached: Connection refused"]
    assert here.waiting() == ["opened"]
    (here.root / "flyball.toml").write_text(pagerduty(receiver))
    here.killed()
    receiver.start()
    here.tick(later=LONGEST)
    assert acts(receiver) == ["trigger"]


def test_a_person_is_woken_again_after_four_hours_and_not_once_somebody_is_on_it(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    here.opens()
    here.tick()
    hour = Span.parse("1h")
    model, routes = make_model(), here.outbox.routes
    assert due(here.wired.ledger.state(), model, routes, here.clock.now()) == [START + 4 * hour]
    for _ in range(9):
        here.tick(later=hour)
    assert acts(receiver) == ["trigger"] * 3
    ack = SettleIncident(id="cmd_ack", actor="user:bo", incident="inc_1", verb="ack", text="on it")
    here.wired.ledger.execute(ack, decide_settle)
    for _ in range(9):
        here.tick(later=hour)
    assert acts(receiver) == [*["trigger"] * 3, "acknowledge"]
    assert due(here.wired.ledger.state(), model, routes, here.clock.now()) == []


def test_after_a_long_time_away_a_receiver_wakes_nobody_for_what_is_past(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    receiver.stop()
    here.opens()
    for _ in range(24):
        here.tick(later=Span.parse("1h"))
    assert here.waiting() == ["opened", *["again"] * 5]
    here.happen(IncidentNoted(incident="inc_1", note="overdue: mitigate"))
    receiver.start()
    here.tick(later=Span.parse("1h"))
    assert acts(receiver) == ["trigger", "trigger"]
    assert "overdue" in receiver.taken[-1].body["payload"]["summary"]
    assert here.waiting() == []


def test_a_webhooks_receiver_can_tell_who_sent_it_and_what_comes_twice(town, receiver: Receiver) -> None:
    here = town(f'[routes.own]\nkind = "webhook"\nsecret = "SIGN"\nurl = "{receiver.url}"\n')
    here.opens()
    here.tick(make_model(route="own"))
    [got] = receiver.taken
    moment, _, given = got.headers["flyball-signature"].partition(",v1=")
    seconds = moment.removeprefix("t=").encode()
    assert hmac.compare_digest(given, hmac.new(b"s3cret", seconds + b"." + got.raw, hashlib.sha256).hexdigest())
    assert got.headers["flyball-delivery"] == got.body["id"]


def test_alertmanager_is_told_again_while_it_lasts_and_that_is_no_event(town, receiver: Receiver) -> None:
    here = town(f'[routes]\ndefault = "am"\n[routes.am]\nkind = "alertmanager"\nurl = "http://127.0.0.1:{receiver.port}"\n')
    here.opens()
    for _ in range(7):
        here.tick(later=MINUTE)
    assert {got.path for got in receiver.taken} == {"/api/v2/alerts"}
    assert len(receiver.taken) == 7
    assert len({got.body[0]["endsAt"] for got in receiver.taken}) == 7
    assert len(here.events(AlertDelivered)) == 1
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    here.tick(later=MINUTE)
    count = len(receiver.taken)
    here.tick(later=10 * MINUTE)
    assert len(receiver.taken) == count, "what is over is not told again"
    last = receiver.taken[-1].body
    assert all(one["endsAt"] <= "2023-11-14T22:21:20Z" for one in last)


def test_a_review_that_is_overdue_ends_no_critical_alert(town, receiver: Receiver) -> None:
    here = town(f'[routes]\ndefault = "am"\n[routes.am]\nkind = "alertmanager"\nurl = "http://127.0.0.1:{receiver.port}"\n')
    here.opens()
    here.tick(later=MINUTE)
    here.happen(IncidentNoted(incident="inc_1", note="overdue: review"))
    for _ in range(3):
        here.tick(later=MINUTE)
    assert "review is overdue" in receiver.taken[-1].body[0]["annotations"]["summary"]
    assert [[one["labels"]["severity"] for one in got.body] for got in receiver.taken] == [["critical"]] * 4


def test_a_review_that_is_overdue_begins_nothing_that_is_over(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    here.opens()
    here.tick(later=MINUTE)
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED)
    here.tick(later=MINUTE)
    here.happen(IncidentNoted(incident="inc_1", note="overdue: review"))
    here.tick(later=MINUTE)
    assert acts(receiver) == ["trigger", "resolve", "resolve"]
    assert here.waiting() == []


def test_an_e_mail_arrives_and_what_the_server_says_decides_whether_it_is_sent_again(town) -> None:
    with mailbox() as box:
        toml = f'[routes]\ndefault = "desk"\n[routes.desk]\nkind = "email"\nhost = "127.0.0.1"\nport = {box.port}\n'
        here = town(toml + 'from = "flyball@example.com"\nto = ["risk@example.com"]\nstarttls = false\n')
        box.answer = "451 try later"
        here.opens()
        here.tick()
        assert [each.why for each in here.events(AlertUndelivered)] == ["it answered 451 try later"]
        box.answer = "250 ok"
        here.tick(later=LONGEST)
        [mail] = box.mails
        assert "Subject: [critical] m: errors" in mail
        assert "To: risk@example.com" in mail
        assert "Date: " in mail
        assert here.events(AlertDelivered)[0].receipt == "taken by 127.0.0.1"
        # a server that speaks no TLS gets nothing where the route asks for it
        secure = Route("desk", "email", host="127.0.0.1", port=box.port, sender="a@example.com", to=("b@example.com",))
        assert _tried(secure).outcome == "barred"
        assert len(box.mails) == 1


def test_a_mail_that_one_of_its_addresses_does_not_get_is_on_record_as_undelivered_too(town) -> None:
    with mailbox() as box:
        toml = f'[routes]\ndefault = "desk"\n[routes.desk]\nkind = "email"\nhost = "127.0.0.1"\nport = {box.port}\n'
        here = town(toml + 'from = "flyball@example.com"\nto = ["risk@example.com", "gone@example.com"]\nstarttls = false\n')
        box.refuses = "gone@example.com"
        here.opens()
        here.tick()
        here.tick(later=LONGEST)
        assert len(box.mails) == 1
        assert [each.why for each in here.events(AlertUndelivered)] == ["not taken for address 2 (550) of 2"]
        assert len(here.events(AlertDelivered)) == 1
        [(_, row)] = here.wired.ledger.state().scan(DELIVERIES, "inc_1/")
        assert (row.state, row.why) == (DeliveryState.DELIVERED, "not taken for address 2 (550) of 2")
        assert row.undelivered_at == row.delivered_at


def test_a_chats_address_that_is_secret_is_not_sent_over_the_network_as_plain_text(town, monkeypatch: pytest.MonkeyPatch) -> None:
    here = town('[routes]\ndefault = "chat"\n[routes.chat]\nkind = "slack"\nsecret = "CHAT"\n')
    monkeypatch.setenv("CHAT", "http://192.0.2.1/hooks/key")
    here.opens()
    here.tick()
    [failed] = here.events(AlertUndelivered)
    assert failed.why.startswith("the address that its secret holds is not encrypted")


def _tried(route: Route):
    from flyball.loop.live_mail import send_mail

    return send_mail(route, BASE, "", START, 5)


@pytest.mark.skipif(importlib.util.find_spec("apprise") is not None, reason="the extra is there")
def test_apprise_that_is_not_installed_is_named_with_its_extra(town) -> None:
    here = town('[routes]\ndefault = "all"\n[routes.all]\nkind = "apprise"\nsecret = "KEY"\n')
    here.opens()
    here.tick()
    assert here.events(AlertUndelivered)[0].why == "apprise is not installed; pip install 'flyball[apprise]'"


@pytest.mark.skipif(importlib.util.find_spec("apprise") is None, reason="it takes the extra apprise")
@pytest.mark.filterwarnings("ignore")
def test_apprise_sends_to_whatever_its_address_names(receiver: Receiver) -> None:
    address = f"json://127.0.0.1:{receiver.port}/in"
    assert send_apprise(BASE, address).outcome == "delivered"
    assert receiver.taken[0].body["title"] == BASE.title
    receiver.status = lambda _: 500
    assert send_apprise(BASE, address).outcome == "later"
    assert send_apprise(BASE, "nonsense://").outcome == "barred"


def test_what_is_said_of_a_thread_is_forgotten_when_all_is_said(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    here.opens()
    here.tick()
    assert len(here.wired.ledger.state().scan(SAID)) == 1
    here.moves(IncidentState.OPEN, IncidentState.CLOSED)
    for _ in range(3):
        here.tick(later=SECOND)
    assert here.wired.ledger.state().scan(SAID) == []
    assert acts(receiver) == ["trigger", "resolve"]


def test_many_incidents_of_many_models_all_arrive_once(town, receiver: Receiver) -> None:
    here = town(pagerduty(receiver))
    models = [make_model(f"m{number}") for number in range(50)]
    for number in range(50):
        here.opens(f"inc_{number}", f"m{number}")
    for _ in range(4):
        here.tick(*models)
    assert sorted(got.body["dedup_key"] for got in receiver.taken) == sorted(f"inc_{number}" for number in range(50))
