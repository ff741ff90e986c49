"""Verbs of the command line, called in this process."""

import contextlib
import io
import json
from typing import Any

from flyball.cli.main import run


def flyball(*arguments: object) -> Any:
    """A verb's one JSON document."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in (*arguments, "--json")])
    assert code == 0, (arguments, out.getvalue(), err.getvalue())
    return json.loads(out.getvalue())
