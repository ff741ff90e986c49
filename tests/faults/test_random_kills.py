"""Killed at any moment, the ledger holds every command that it acknowledged, once, and none by half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(__file__).parent / "kill_kit.py"
ROUNDS = 500 if os.environ.get("SOAK") else 16
"""Two writers are killed in each; `make soak` kills a thousand."""


@pytest.mark.process
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_ledger_whose_writers_are_killed_at_random_loses_nothing_and_repeats_nothing(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = [request.getfixturevalue("postgres").database()] if database == "postgresql" else []
    rounds = ROUNDS if database == "sqlite" else ROUNDS // 4
    ended = subprocess.run([sys.executable, KIT, tmp_path, "1", str(rounds), *url], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    total = json.loads(ended.stdout)
    assert total["problems"] == [], ended.stderr
    assert total["kills"] == 2 * rounds
    assert total["acknowledged"] > rounds
    if rounds >= 16:
        assert total["repeated"] > 0, "some command was given again, by the same id"
        assert total["refused"] > 0
