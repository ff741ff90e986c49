"""Examples with their data, and verbs of the command line that are called in this process."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from flyball.cli.main import run

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def with_data(example: str, file: str, to: Path) -> Path:
    """A copy of an example in the folder `to`, with the real file that it is about. Skips the test where there is none."""
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip(f"FLYBALL_TEST_DATA names no folder with data/{file}")
    root = shutil.copytree(EXAMPLES / example, to / "p", ignore=shutil.ignore_patterns("data", ".flyball"))
    (root / "data").mkdir()
    shutil.copyfile(Path(folder) / "data" / file, root / "data" / file)
    return root


def flyball(*arguments: object) -> Any:
    """A verb's one JSON document."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in (*arguments, "--json")])
    assert code == 0, (arguments, out.getvalue(), err.getvalue())
    return json.loads(out.getvalue())
