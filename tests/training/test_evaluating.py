"""The sections of a run's report: each is made by itself, and what one cannot say stops nothing else."""

from types import SimpleNamespace

import flyball as fb
from flyball.declare.metrics import CARD_BLANKS, MEASURED
from flyball.declare.rules_checks import PLANNED_METRICS
from flyball.errors import BadInput
from flyball.evaluation.holdout import Measured
from flyball.records.estimates import Estimate
from flyball.training import sections
from flyball.training.evaluating import Found, Section, evaluate
from flyball.training.sections import SECTIONS

SUBJECT = SimpleNamespace()


def _says(**numbers: float):
    return lambda _subject: Found(measured={name: Estimate(value=value) for name, value in numbers.items()})


def _cannot(_subject):
    raise BadInput("nothing was served yet", fix="serve it")


def test_a_section_that_cannot_be_made_says_why_and_the_others_are_made():
    found = evaluate(SUBJECT, [Section("live", ("domain_auc",), _cannot), Section("artifact", ("size",), _says(size=3.0))])

    assert found.measured == {"size": Estimate(value=3.0)}
    assert found.unmeasured == {"domain_auc": "live: nothing was served yet"}
    assert "nothing was served yet" in found.report.missing["live"]
    assert found.beside({"size": Estimate(value=2.0)}) == Measured(
        {"size": Estimate(value=3.0)}, {"size": Estimate(value=2.0)}, {"domain_auc": "live: nothing was served yet"}
    )


def test_a_section_whose_code_raises_costs_neither_the_run_nor_the_others(capfd):
    def broken(_subject):
        return {}["no such name"]

    found = evaluate(SUBJECT, [Section("live", ("domain_auc",), broken), Section("artifact", ("size",), _says(size=3.0))])

    assert found.measured == {"size": Estimate(value=3.0)}
    assert found.unmeasured == {"domain_auc": "live: it raised KeyError: 'no such name'"}
    assert found.report.missing == {"live": "it raised KeyError: 'no such name'; see the run's log"}
    assert "Traceback" in capfd.readouterr().err


def test_a_rehearsal_makes_only_the_sections_that_a_gate_rests_on(monkeypatch):
    one, other = Section("artifact", ("size", "memory"), _says(size=3.0)), Section("live", ("domain_auc",), _cannot)
    monkeypatch.setattr(sections, "SECTIONS", (one, other))

    def model(*gates: object) -> SimpleNamespace:
        return SimpleNamespace(gates=gates)

    assert sections.asked(model(fb.metric("accuracy") >= 0.7)) == ()
    assert sections.asked(model((fb.metric("memory") <= "1GB") | fb.approval("owner"))) == (one,)


def test_every_number_that_a_gate_may_ask_of_a_run_is_measured_by_a_section_or_said_to_be_planned():
    made = {name for section in SECTIONS for name in section.metrics}

    assert MEASURED - made - set(PLANNED_METRICS) == {CARD_BLANKS}, "what persons write on the card is no number of a run"
    assert made & set(PLANNED_METRICS) == set()
