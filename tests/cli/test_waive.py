"""A gate that failed is waived by another person, for a time; the version then goes, and goes no more when the time is over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flyball.clock import Span, SystemClock


@pytest.fixture
def stopped(flyball, trained: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A project whose newest version failed a gate, and the secret of an approver who is not its author."""
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    loop = trained / "loop.py"
    text = loop.read_text()
    loop.write_text(text.replace('fb.metric("mae") <= fb.baseline', 'fb.metric("mae") <= 0.001', 1))
    assert loop.read_text() != text
    ended = flyball("train", "demand", "--trials", 0, "--project", trained, "--json")
    assert ended.document.get("state") == "rejected", ended.out
    secret = flyball("token", "create", "ben", "--role", "approver", "--project", trained, "--json").document["secret"]
    return trained, secret


def newest(flyball, project: Path) -> str:
    return f"demand@{flyball('models', 'list', '--project', project, '--json').document['versions'][0]['version']}"


def test_a_failed_gate_is_waived_by_another_person_until_a_time(
    flyball, stopped: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, secret = stopped
    ref = newest(flyball, project)

    def verb(*arguments: object):
        return flyball(*arguments, "--project", project)

    refused = verb("release", ref)
    assert (refused.code, "failed a gate" in refused.err) == (1, True), refused.err
    assert f'another person, as approver or admin, lets it pass: flyball waive {ref} --gate "mae ≤ 0.001" --reason "…"' in refused.err
    own = verb("waive", ref, "--gate", "mae <= 0.001", "--reason", "mine")
    assert (own.code, "cannot waive a gate of it" in own.err) == (1, True), own.err
    assert re.search(r'fix  another person, as approver or admin, says flyball waive demand@[\d.]+ --gate "[^"]+" --reason "…"', own.err), (
        own.err
    )
    monkeypatch.setenv("FLYBALL_TOKEN", secret)
    assert "a waiver needs a reason" in verb("waive", ref, "--gate", "mae <= 0.001").err
    assert "no gate is named" in verb("waive", ref, "--reason", "x").err
    assert 'until "tomorrow"' in verb("waive", ref, "--gate", "mae <= 0.001", "--reason", "x", "--until", "tomorrow").err
    assert "has no gate" in verb("waive", ref, "--gate", "rmse <= 1", "--reason", "x").err
    dry = verb("waive", ref, "--gate", "mae <= 0.001", "--reason", "a dear week", "--until", "7d", "--dry-run")
    assert "would record  version.waived" in dry.out, dry.err
    given = verb("waive", ref, "--gate", "mae <= 0.001", "--reason", "a dear week", "--until", "7d", "--json")
    assert (given.code, given.document["state"]) == (0, "eligible"), given.out
    assert [(one["actor"], one["expired"]) for one in given.document["waivers"]] == [("user:ben", False)]
    shown = verb("models", "show", ref).out
    assert "waived    mae ≤ 0.001 by user:ben at" in shown
    assert re.search(r"WAIVED +mae ≤ 0.001", shown), shown
    assert "was waived by user:ben until" in verb("models", "card", ref).out
    own = verb("release", ref)
    assert own.code == 1, "an approver is no operator"
    monkeypatch.delenv("FLYBALL_TOKEN")
    assert verb("release", ref, "--dry-run").code == 0
    assert verb("audit", "verify").code == 0
    _over(monkeypatch)
    late = verb("release", ref)
    assert (late.code, "the waiver has expired" in late.err) == (1, True), late.err
    assert f"gate      {ref} (eligible): mae ≤ 0.001: its waiver expired" in verb("status").out
    [doubt] = verb("status", "--json").document["in_doubt"]
    assert f"demand@{doubt['version']}" == ref
    shown = verb("models", "show", ref).out
    assert ", expired: a dear week" in shown
    assert re.search(r"FAIL +mae ≤ 0.001", shown), "what the gate says is shown again"


def test_where_nobody_else_may_waive_it_is_said_how_somebody_comes_to(flyball, stopped: tuple[Path, str]) -> None:
    project, _ = stopped
    [token] = [
        one["token"] for one in flyball("token", "list", "--project", project, "--json").document["tokens"] if one["person"] == "ben"
    ]
    assert flyball("token", "revoke", token, "--reason", "gone", "--project", project).code == 0
    refused = flyball("release", newest(flyball, project), "--project", project)
    assert "whom an admin makes first (flyball token create PERSON --role approver), lets it pass: flyball waive" in refused.err


def _over(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a project is opened eight days later."""
    then = SystemClock().now() + Span.parse("8d")
    monkeypatch.setattr(SystemClock, "now", lambda _clock: then)
