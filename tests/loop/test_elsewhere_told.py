"""What the command line says of a model that is served elsewhere: which version answers, how good it is, and that none is made here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.cli.main import run

from .elsewhere_kit import Watched, made


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    project = Watched(tmp_path / "p")
    yield project
    project.close()


def test_that_no_version_is_made_here_is_said_with_what_to_look_at(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> str:
        run([*arguments, "--project", str(watched.root)])
        return " ".join("".join(capsys.readouterr()).split())

    assert "legacy-risk is served elsewhere: flyball status" in told("models", "list")
    for verb in (["show", "legacy-risk"], ["show", "legacy-risk@7"], ["card", "legacy-risk"]):
        said = told("models", *verb)
        assert "legacy-risk is served elsewhere: flyball has made no version of it" in said
        assert "flyball monitor legacy-risk" in said
        assert "train legacy-risk" not in said
    watched.send(made(0, 5))
    watched.tick()
    assert "legacy-risk@7 is served elsewhere: flyball monitor legacy-risk" in told("models", "list")


def test_while_a_new_version_is_learnt_status_and_monitor_name_it_and_say_of_the_former_what_is_its_own(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        assert run([*arguments, "--project", str(watched.root)]) == 0
        return capsys.readouterr().out

    watched.normal()
    before = msgspec.json.decode(told("monitor", "legacy-risk", "--json"))
    assert (before["version"], before["former"], before["quality"]["verdict"]) == ("7", None, "ok")
    # of the new version every answer is wrong: none of them is to be told as the former's
    rows = made(9, 300, version="8", wrong=1.1)
    watched.send(rows)
    watched.label(rows)
    watched.tick()
    watched.tick()
    [line] = msgspec.json.decode(told("status", "--json"))["models"]
    after = msgspec.json.decode(told("monitor", "legacy-risk", "--json"))
    assert (line["champion"], after["version"]) == ("8", "8")
    assert line["quality"]["value"] is after["quality"]["value"] is after["quality"]["at_release"] is line["labels"] is None
    assert line["former"] == after["former"]
    assert (after["former"]["version"], after["former"]["quality"]["verdict"]) == ("7", "ok")
    n = before["quality"]["n"]
    assert n - 60 <= after["former"]["quality"]["n"] <= n, "an hour that both answered in is neither's"
    assert (after["former"]["quality"]["at_release"], line["labels_due"]) == (before["quality"]["at_release"], 0)
    text, status = told("monitor", "legacy-risk"), told("status")
    learning = "8: learning what is normal: 0 d of 7, 300 predictions of 1,000; until then it is compared with 7"
    assert learning in text
    assert learning in status
    assert "legacy-risk  8   answers since" in text
    assert "  accuracy  not known yet; 7: 0." in text
    assert re.search(r"legacy-risk  8 .* (learning|worse) \(7: 0\.\d+ \[.*\] ok\) .* –  ", status)
