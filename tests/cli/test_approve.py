"""A version that waits for a person: shown, approved by another one, and never released by who approved it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture
def held(flyball, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose version passed everything but a person's yes."""
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    loop = trained / "loop.py"
    text = loop.read_text()
    loop.write_text(text.replace("gates=[", 'gates=[fb.approval("risk-officer"), ', 1))
    assert loop.read_text() != text
    ended = flyball("train", "demand", "--trials", 0, "--project", trained, "--json")
    assert ended.document["state"] == "candidate", ended.out
    again = flyball("train", "demand", "--trials", 0, "--project", trained).out
    assert re.search(
        r"held by 1 open gate: another person, as risk-officer, whom an admin makes first "
        r'\(flyball token create PERSON --job risk-officer\), says flyball approve demand@[\d.]+ --reason "…"',
        again,
    ), again
    return trained


def test_a_version_waits_for_a_person_who_is_not_its_author(flyball, held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def verb(*arguments: object, token: str = ""):
        monkeypatch.setenv("FLYBALL_TOKEN", token)
        return flyball(*arguments, "--project", held)

    version = flyball("status", "--project", held, "--json").document["held"]
    assert [row["for"] for row in version] == ["approval by 1 risk-officer"]
    ref = f"demand@{version[0]['version']}"
    assert f'held      {ref}: approval by 1 risk-officer   → flyball approve {ref} --reason "…"' in verb("status").out
    assert f'held      approval by 1 risk-officer   → flyball approve {ref} --reason "…"' in verb("models", "show", ref).out
    assert f'flyball approve {ref} --reason "…"' in verb("release", ref).err

    own = verb("approve", ref, "--reason", "mine")
    assert (own.code, "is no risk-officer" in own.err) == (1, True)
    made = "another person, as risk-officer, whom an admin makes first (flyball token create PERSON --job risk-officer), says"
    assert f'fix  {made} flyball approve {ref} --reason "…"' in own.err
    assert f'fix  {made} flyball reject {ref} --reason "…"' in verb("reject", ref, "--reason", "mine").err
    ben = verb("token", "create", "ben", "--job", "risk-officer", "--json").document["secret"]
    dry = verb("approve", ref, "--reason", "fine", "--dry-run", token=ben)
    assert "would record  version.approved" in dry.out, dry.err
    assert verb("approve", ref, token=ben).code == 2, "a reason is needed"
    given = verb("approve", ref, "--reason", "looked at the days", "--json", token=ben)
    assert (given.code, given.document["state"]) == (0, "eligible"), given.out
    assert [said["actor"] for said in given.document["said"]] == ["user:ben"]
    assert "by user:ben as risk-officer: looked at the days" in verb("models", "show", ref).out
    assert "given by user:ben (risk-officer)" in verb("models", "show", ref).out
    assert flyball("audit", "verify", "--project", held).code == 0

    both = verb("token", "create", "ben", "--job", "risk-officer", "--role", "operator", "--json").document["secret"]
    out = verb("release", ref, token=both)
    assert (out.code, "has approved" in out.err) == (1, True)
    assert verb("release", ref, "--dry-run").code == 0, "somebody else may"


def test_a_no_rejects_and_its_reason_is_told(flyball, held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = f"demand@{flyball('status', '--project', held, '--json').document['held'][0]['version']}"
    ben = flyball("token", "create", "ben", "--job", "risk-officer", "--project", held, "--json").document["secret"]
    monkeypatch.setenv("FLYBALL_TOKEN", ben)
    ended = flyball("reject", ref, "--reason", "not on a holiday", "--project", held, "--json")
    assert (ended.code, ended.document["state"]) == (0, "rejected")
    monkeypatch.delenv("FLYBALL_TOKEN")
    out = flyball("release", ref, "--project", held)
    assert (out.code, "user:ben said no (risk-officer): not on a holiday" in out.err) == (1, True), out.err
    assert flyball("status", "--project", held, "--json").document["held"] == []


def test_a_verdict_is_on_one_version_that_is_there(flyball, trained: Path) -> None:
    assert "names no version" in flyball("approve", "demand", "--reason", "x", "--project", trained).err
    assert "there is no version" in flyball("approve", "demand@9.9.9", "--reason", "x", "--project", trained).err


def test_a_gate_may_ask_for_a_job_that_is_no_approvers(flyball, held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = held / "loop.py"
    loop.write_text(loop.read_text().replace('fb.approval("risk-officer")', 'fb.approval("data-scientist")', 1))
    assert flyball("train", "demand", "--trials", 0, "--project", held).code == 0
    [waits] = flyball("status", "--project", held, "--json").document["held"]
    assert waits["for"] == "approval by 1 data-scientist"
    secrets = [
        flyball("token", "create", who, "--job", job, "--project", held, "--json").document["secret"]
        for who, job in (("dan", "data-engineer"), ("amy", "risk-officer"), ("sue", "data-scientist"))
    ]
    ended = []
    for secret in secrets:
        monkeypatch.setenv("FLYBALL_TOKEN", secret)
        ended.append(flyball("approve", f"demand@{waits['version']}", "--reason", "looked at it", "--project", held))
    assert [each.code for each in ended] == [1, 1, 0], ended
    assert all("is no data-scientist" in each.err for each in ended[:2])


def test_a_high_risk_holds_a_candidate_for_a_person_though_no_gate_says_so(flyball, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    loop = trained / "loop.py"
    risky = loop.read_text().replace('risk="low"', 'risk="high"').replace('autonomy="act"', 'autonomy={"training": "act"}')
    loop.write_text(risky)
    checked = flyball("check", trained)
    assert "in force       gates approval by 1 approver, implied by framing: risk is high" in checked.out
    [model] = flyball("check", trained, "--json").document["models"]
    assert [one.partition(",")[0] for one in model["implied"]] == ["gates approval by 1 approver", "monitors latency_p99 ≤ 1h"]
    made = flyball("train", "demand", "--trials", 0, "--project", trained, "--json").document
    assert made["state"] == "candidate"
    [open_] = [one for one in made["verdicts"] if one["verdict"] == "insufficient"]
    assert open_["gate"] == "approval by 1 approver"
    assert "implied by framing: risk is high" in open_["why"]
    ref = f"demand@{made['version']}"
    stopped = flyball("release", ref, "--project", trained)
    assert (stopped.code, "open gate" in stopped.err) == (1, True), stopped.err
    ben = flyball("token", "create", "ben", "--role", "approver", "--project", trained, "--json").document["secret"]
    monkeypatch.setenv("FLYBALL_TOKEN", ben)
    given = flyball("approve", ref, "--reason", "looked at it", "--project", trained, "--json")
    assert (given.code, given.document["state"]) == (0, "eligible"), given.err
    monkeypatch.delenv("FLYBALL_TOKEN")
    shown = flyball("models", "show", ref, "--project", trained)
    assert "for       buy the right amount of power; 6h ahead, to be acted on within 1h; KPI cost of imbalance; risk high" in shown.out
    assert re.search(r"(?m)^lock +\d+ distributions: ", shown.out)
    assert re.search(r"(?m)^features +rise of absolute_error without each ", shown.out)
    assert re.search(r"(?m)^served +as (skops|onnx): ", shown.out)
    lock = flyball("models", "show", ref, "--project", trained, "--json").document["lock"]
    assert [line for line in lock if line.startswith("scikit-learn==")]
    card = flyball("models", "card", ref, "--project", trained, "--json").document
    assert card["framing"]["kpi"] == "cost of imbalance"
    assert "- approved by user:ben as approver" in card["card"]
    [line] = flyball("status", "--project", trained, "--json").document["models"]
    assert (line["purpose"], line["kpi"], line["risk"]) == ("buy the right amount of power", "cost of imbalance", "high")
