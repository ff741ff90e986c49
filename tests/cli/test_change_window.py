"""What the command line says of a change window, where nothing is up."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@pytest.fixture
def shut(trained: Path) -> str:
    """The window of the trained project: all of a day that is neither today nor one beside it. Returns when it opens."""
    opens = (datetime.now(UTC) + timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    window = f"{DAYS[opens.weekday()]} 00:00-24:00 UTC"
    loop = trained / "loop.py"
    text = loop.read_text()
    assert "fb.Rollout(" in text
    loop.write_text(text.replace("fb.Rollout(", f'fb.Rollout(change_window="{window}", ', 1))
    return f"{opens:%Y-%m-%dT%H:%MZ}"


def test_check_prints_the_window_and_when_it_opens(flyball: Any, trained: Path, shut: str) -> None:
    out = flyball("check", trained).out
    [line] = [line for line in out.splitlines() if line.startswith("  change window")]
    assert line.endswith(f"00:00-24:00 UTC: closed until {shut}")
    assert "not built yet: rollout change_window" not in out
    [model] = flyball("check", trained, "--json").document["models"]
    assert model["change_window"]["closed_until"] == shut.replace("Z", ":00Z")
    assert "releases go forward in the change window" in flyball("check", trained, "--ci").out


def test_a_bad_window_is_a_problem_of_its_file(flyball: Any, new: Path) -> None:
    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("fb.Rollout(", 'fb.Rollout(change_window="Mon 9:00-17:00", ', 1))
    ended = flyball("check", new)
    assert ended.code == 1
    assert 'change_window: "Mon 9:00-17:00" names no time zone' in ended.out
    assert 'fix  say whose clock is meant: "Mon 9:00-17:00 Europe/Berlin"' in ended.out


def test_a_release_outside_the_window_says_that_it_waits_and_until_when(flyball: Any, trained: Path, shut: str) -> None:
    assert flyball("apply", "--project", trained).code == 0
    ended = flyball("release", "demand@1.0.0", "--reason", "better", "--project", trained)
    assert ended.code == 0, ended.err
    assert f"change window closed until {shut}: its workers start, and it begins then" in ended.out + ended.err
    shown = flyball("rollouts", "show", "demand", "--project", trained).out
    assert f"00:00-24:00 UTC: closed until {shut}" in shown
    assert f"and wait: change window closed until {shut}" in shown
    document = flyball("rollouts", "show", "demand", "--project", trained, "--json").document
    assert document["change_window"]["closed_until"] == shut.replace("Z", ":00Z")
    assert document["rollout"]["state"] == "warming"


def test_a_release_goes_forward_outside_the_window_where_a_person_says_why(flyball: Any, trained: Path, shut: str) -> None:
    assert flyball("apply", "--project", trained).code == 0
    refused = flyball("release", "demand@1.0.0", "--outside-window", "--project", trained)
    assert refused.code == 2
    assert "a release outside the change window needs a reason" in refused.err
    ended = flyball("release", "demand@1.0.0", "--outside-window", "--reason", "callers get errors", "--project", trained, "--json")
    assert ended.document["waits"] is None
    assert shut not in flyball("rollouts", "show", "demand", "--project", trained).out
    document = flyball("rollouts", "show", "demand", "--project", trained, "--json").document
    assert document["rollout"]["outside_window"] is True
    assert document["change_window"] is None
