"""Commands in what people are told go to the environment that they were asked about."""

from __future__ import annotations

import pytest

from flyball.cli.hints import Hints, within


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('flyball approve m@1.0.0 --reason "…"', 'flyball approve --env staging m@1.0.0 --reason "…"'),
        ("→ flyball models show m@1.0.0", "→ flyball models show --env staging m@1.0.0"),
        ("flyball models, then flyball runs list", "flyball models --env staging, then flyball runs list --env staging"),
        ("flyball up, or flyball tick", "flyball up --env staging, or flyball tick --env staging"),
        ("wait for it, or flyball rollback m", "wait for it, or flyball rollback --env staging m"),
    ],
)
def test_a_command_is_told_with_the_environment(text: str, told: str) -> None:
    assert within(text, "staging") == told


@pytest.mark.parametrize(
    "text",
    [
        "flyball train m --env staging",
        "flyball is up on http://127.0.0.1:7117",
        "flyball init DIR",
        "flyball data infer FILE",
        "make one: flyball demo",
        "pip install flyball",
    ],
)
def test_what_names_one_or_takes_none_stays_as_it_is(text: str) -> None:
    assert within(text, "production") == text


def test_the_environment_is_that_of_the_command_line() -> None:
    hints = Hints()
    for arguments, env in ((["m", "--env", "a"], "a"), (["--env=b", "m"], "b"), (["m"], "")):
        hints.note(arguments)
        assert hints.env == env
    assert hints.told("flyball tick") == "flyball tick"
