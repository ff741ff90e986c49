"""Ctrl-C, whenever it comes: no traceback, exit code 130, and under --json one document."""

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyball.cli import main
from flyball.cli.document import DOCUMENT

SLOW = """
import sys, time

class Slow:
    def find_spec(name, path, target=None):
        if name == "flyball.cli.main":
            print("loading", flush=True)
            time.sleep(3)

sys.meta_path.insert(0, Slow)
from flyball.cli import main
main()
"""


def start(code: str, *arguments: object, ignoring: bool = False) -> "subprocess.Popen[str]":
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignoring else None
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


@pytest.mark.process
def test_before_the_command_line_is_loaded_ctrl_c_ends_it_without_a_word() -> None:
    process = start(SLOW, "--version")
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")


@pytest.mark.process
def test_who_was_told_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    process = start(SLOW, "--version", ignoring=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out[:8]) == (0, "flyball ")


@pytest.mark.process
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_verb_that_is_interrupted_says_so_at_once(new: Path, as_json: bool) -> None:
    (new / "loop.py").write_text("import pathlib, time\npathlib.Path(__file__).with_name('here').touch()\ntime.sleep(50)\n")
    process = start("from flyball.cli import main; main()", "check", new, *(["--json"] if as_json else []))
    while not (new / "here").exists():
        assert process.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert time.monotonic() - began < 10, "nobody waits for the import"
    assert process.returncode == 130
    assert "Traceback" not in err
    if as_json:
        told = json.loads(out)
        assert (told["code"], told["status"]) == ("interrupted", 499)
        assert "flyball check was interrupted" in told["detail"]
    else:
        assert (out, err) == ("", "interrupted\n")


@pytest.mark.parametrize("written", [False, True])
def test_an_interrupted_verb_has_one_document_and_never_two(written: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_verb: str, _rest: list[str]) -> int:
        if written:
            DOCUMENT.write({"done": True})
        raise KeyboardInterrupt

    module = sys.modules["flyball.cli.main"]
    monkeypatch.setattr(module, "_call", interrupted)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        assert module.run(["status", "--json"]) == 130
    [told] = map(json.loads, out.getvalue().splitlines())
    assert told == {"done": True} if written else told["code"] == "interrupted"
    assert err.getvalue() == ("interrupted\n" if written else "")


def test_the_command_is_there_before_anything_heavy_is_loaded() -> None:
    assert main is not None
    code = "import sys; import flyball.cli; print([n for n in ('flyball.cli.main', 'json', 'typer', 'msgspec') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


ASKS = """
import importlib
from flyball.cli import common
command = importlib.import_module("flyball.cli.main")

def ask(arguments):
    import polars
    return 0 if common.sure("erase it?", yes=False) else 1

command._main = ask
command.main(heard=True)
"""


@pytest.mark.process
def test_at_a_question_ctrl_c_is_an_answer_though_polars_has_a_handler_of_its_own() -> None:
    mine, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", ASKS], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    while b"erase it?" not in said:
        said += os.read(mine, 1024)
    try:
        # one that comes between the question and the reading of its answer is heard with the next
        for _ in range(40):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
                break
        assert process.poll() is not None
    finally:
        process.kill()
        process.wait()
        os.close(mine)
