"""Quarantine, deprecation, deletion and notes, as people give and see them."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_a_version_goes_into_quarantine_comes_out_and_is_deleted(flyball, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)

    def verb(*arguments: object):
        return flyball(*arguments, "--project", trained)

    ref = "demand@1.0.0"
    assert "a quarantine needs a reason" in verb("models", "quarantine", ref).err
    assert "names no version" in verb("models", "quarantine", "demand", "--reason", "x").err
    refused = verb("models", "delete", ref, "--reason", "x")
    assert (refused.code, f"flyball models quarantine {ref}" in refused.err) == (1, True), refused.err
    dry = verb("models", "quarantine", ref, "--reason", "wrong labels", "--dry-run")
    assert "would record  version.quarantined" in dry.out
    assert verb("models", "quarantine", ref, "--reason", "wrong labels", "--json").document["state"] == "quarantined"
    assert "quarantine  wrong labels" in verb("models", "show", ref).out
    released = verb("release", ref)
    assert (released.code, "it is in quarantine: wrong labels" in released.err) == (1, True), released.err
    assert verb("models", "quarantine", ref, "--lift", "--reason", "they were right", "--json").document["state"] == "eligible"
    assert verb("release", ref, "--dry-run").code == 0
    verb("models", "quarantine", ref, "--reason", "wrong after all")
    assert verb("models", "delete", ref, "--reason", "made of wrong labels").code == 0
    assert "deleted: user:" in verb("models", "show", ref).out
    again = verb("train", "demand", "--trials", 0, "--release")
    assert (again.code, f"{ref}, deleted (it was in quarantine: wrong after all; user:" in again.out) == (1, True), again.out
    assert verb("train", "demand", "--trials", 0, "--json").document["state"] == "deleted"
    assert verb("audit", "verify").code == 0


def test_who_releases_what_is_advised_against_is_told(flyball, trained: Path) -> None:
    def verb(*arguments: object):
        return flyball(*arguments, "--project", trained)

    ref = "demand@1.0.0"
    assert verb("models", "deprecate", ref, "--reason", "its window is too long").code == 0
    again = verb("models", "deprecate", ref, "--reason", "its window is too long")
    assert (again.code, "is as it was   eligible   nothing is recorded: it was so already" in again.out) == (0, True), again.out
    assert verb("models", "deprecate", ref, "--reason", "its window is too long", "--json").document["event"] is None
    assert "eligible, deprecated" in verb("models", "list").out
    assert "advised   against: its window is too long" in verb("models", "show", ref).out
    assert f"advised   against {ref} (eligible): its window is too long" in verb("status").out
    assert f"{ref} is deprecated: its window is too long" in verb("release", ref, "--dry-run").err
    assert verb("models", "deprecate", ref, "--lift", "--reason", "it is fine").code == 0
    assert "deprecated" not in verb("release", ref, "--dry-run").err
    assert "advised" not in verb("models", "show", ref).out


def test_how_a_version_fails_is_written_on_it_and_on_its_card(flyball, trained: Path) -> None:
    def verb(*arguments: object):
        return flyball(*arguments, "--project", trained)

    ref = "demand@1.0.0"
    assert "has no notes and no tags" in verb("models", "note", ref).out
    assert verb("models", "note", ref, "too low on holidays", "too high in snow", "--tag", "region=eu", "--tag", "reviewed").code == 0
    shown = verb("models", "show", ref).out
    assert "known     1. too low on holidays   (user:" in shown
    assert "tags      region=eu, reviewed" in shown
    assert "there is no note 3" in verb("models", "note", ref, "--drop", 3).err
    verb("models", "note", ref, "too high\nchampion  everybody's")
    assert "known     3. too high champion everybody's   (user:" in verb("models", "show", ref).out
    verb("models", "note", ref, "--drop", 3)
    order = ("models", "note", ref, "--drop", 1, "--untag", "reviewed", "--idempotency-key", "once", "--json")
    left = verb(*order).document
    again = verb(*order)
    assert (again.code, again.document["known"]) == (0, left["known"]), (
        "what was done under its key is done once, whatever is left to take off"
    )
    assert [each["text"] for each in left["known"]] == ["too high in snow"]
    assert left["tags"] == {"region": "eu"}
    card = verb("models", "card", ref).out
    assert "## Where it is known to fail" in card
    assert "- too high in snow (user:" in card
    assert "- tags: region=eu" in card
    unknown = verb("models", "note", ref, "--untag", "regoin")
    assert (unknown.code, 'has no tag "regoin"' in unknown.err, 'did you mean "region"?' in unknown.err) == (1, True, True)
    assert "is no name of a tag" in verb("models", "note", ref, "--tag", "a b=c").err


def test_a_card_waits_for_what_only_a_person_can_write(flyball, trained: Path) -> None:
    def verb(*arguments: object):
        return flyball(*arguments, "--project", trained)

    ref = "demand@1.0.0"
    shown = verb("models", "card", ref)
    assert shown.out.startswith("---\nlicense: ")
    assert "<!-- blank: ethics -->" in shown.out
    assert "blank     out_of_scope, limitations, ethics" in shown.err
    dry = verb("models", "card", ref, "--fill", "ethics", "Nobody is scored.", "--dry-run")
    assert "would record  version.described" in dry.out
    told = verb("models", "card", ref, "--fill", "ethics", "Nobody is scored.")
    assert (told.code, "still blank: out_of_scope, limitations" in told.out) == (0, True), told.err
    document = verb("models", "card", ref, "--json").document
    assert document["blanks"] == ["out_of_scope", "limitations"]
    assert "Nobody is scored." in document["card"]
    assert "<!-- blank: ethics -->" not in document["card"]
    wrong = verb("models", "card", ref, "--fill", "ethic", "x")
    assert (wrong.code, 'did you mean "ethics"' in wrong.err) == (2, True), wrong.err
    assert "names no version" in verb("models", "card", "demand", "--fill", "ethics", "x").err
    assert verb("audit", "verify").code == 0


def test_a_gate_on_the_card_holds_a_version_from_its_run_until_the_last_text(flyball, new: Path) -> None:
    def verb(*arguments: object):
        return flyball(*arguments, "--project", new)

    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.metric("card_blanks") <= 1, '))
    told = verb("train", "demand", "--trials", 0)
    assert "candidate: held by 1 open gate: write what is missing: flyball models card demand@1.0.0 --fill out_of_scope" in told.out
    ref = "demand@1.0.0"
    refused = verb("release", ref)
    assert (refused.code, "write what is missing: flyball models card demand@1.0.0 --fill" in refused.err) == (1, True), refused.err
    assert verb("models", "card", ref, "--fill", "ethics", "Nobody is scored.", "--json").document["state"] == "held"
    assert verb("models", "card", ref, "--fill", "limitations", "Not on holidays.", "--json").document["state"] == "eligible"
    assert "the card is written but for out_of_scope" in verb("models", "card", ref).out
    assert verb("release", ref, "--dry-run").code == 0
    assert verb("models", "card", ref, "--fill", "ethics", "", "--json").document["state"] == "held"
    assert verb("audit", "verify").code == 0
