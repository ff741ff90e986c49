"""Whatever is typed, the answer is one error with a way out, never a traceback; under --json it is one document."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.cli.main import VERBS, report
from flyball.errors import BadInput, Problem
from flyball.serving.supervisor import bind

IN_A_PROJECT = [
    ("apply",),
    ("up",),
    ("status",),
    ("train", "demand"),
    ("models", "list"),
    ("models",),
    ("release", "demand@1.0.0"),
    ("rollback", "demand"),
    ("rollouts",),
    ("rollouts", "pause", "ro_1"),
    ("incidents",),
    ("incidents", "ack", "inc_1"),
    ("audit", "verify"),
    ("tick",),
    ("check",),
]


@pytest.mark.parametrize("arguments", IN_A_PROJECT, ids=" ".join)
def test_outside_a_project_every_verb_says_where_to_go(flyball, arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = flyball(*arguments, "--project", tmp_path, "--json")
    assert ended.code == 1
    assert ended.document["code"] == "no-project"
    assert "flyball init" in ended.document["fix"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [*((verb, "--frob") for verb in VERBS if verb != "demo"), ("train",), ("rollouts", "frob")], ids=" ".join
)
def test_bad_usage_is_exit_code_2(flyball, arguments: tuple[str, ...]) -> None:
    ended = flyball(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error  ")
    assert "\n    why  it is used so: flyball" in ended.err
    assert "--help says what there is" in ended.err
    told = flyball(*arguments, "--json")
    assert (told.code, told.document["code"]) == (2, "usage")


def test_an_unknown_verb_gets_the_near_one(flyball) -> None:
    ended = flyball("statsu")
    assert ended.code == 2
    assert "did you mean status?" in ended.err
    assert flyball("statsu", "--json").document["fix"] == "did you mean status?"
    assert "options stand after the verb" in flyball("--quiet", "status").err


@pytest.mark.process
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(("reader", "code"), [("gone", 1), ("full", 3)])
@pytest.mark.parametrize("arguments", [("--help",), ("check", "--help"), ("init",), ("statsu", "--json")], ids=" ".join)
def test_output_that_nobody_takes_is_no_traceback(buffered: str, reader: str, code: int, arguments: tuple[str, ...]) -> None:
    if reader == "gone":
        end, stdout = os.pipe()
        os.close(end)
    else:
        stdout = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-c", "from flyball.cli.main import main; main()", *arguments]
    ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": buffered}, check=False)
    os.close(stdout)
    assert ended.returncode == (2 if arguments == ("init",) else code)
    assert b"Traceback" not in ended.stderr
    assert b"ignored" not in ended.stderr


@pytest.mark.parametrize(
    "arguments", [("train",), ("models", "show"), ("rollback",), ("models", "list"), ("rollouts", "list")], ids=" ".join
)
def test_an_unknown_model_gets_the_near_one(flyball, arguments: tuple[str, ...], trained_project: Path) -> None:
    ended = flyball(*arguments, "demnad", "--project", trained_project, "--json")
    assert (ended.code, ended.document["code"]) == (1, "not-found")
    assert 'did you mean "demand"?' in ended.document["fix"]


def test_an_unknown_version_names_those_there_are(flyball, trained_project: Path) -> None:
    ended = flyball("release", "demand@1.0.9", "--project", trained_project)
    assert ended.code == 1
    assert ended.err == 'error  there is no version demand@1.0.9\n    fix  versions: did you mean "1.0.0"?\n'
    ended = flyball("models", "show", "demand@champion", "--project", trained_project)
    assert "demand has no champion yet" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("release", "demand"), "names no version"),
        (("rollback", "demand@1.0.0"), "names a version"),
        (("release", "demand@new"), "is not a version"),
        (("models", "show", "../demand"), "cannot name a model"),
        (("models", "show", "demand@"), '"demand@" names no version'),
        (("rollback", "demand@"), '"demand@" names no version'),
        (("train", "demand", "--set", "max_deph=3", "--dry-run"), 'has no hyperparameter "max_deph"'),
        (
            ("train", "demand", "--set", "Q=1", "--dry-run"),
            'fit of demand has no hyperparameter "Q"\n    why  it has max_depth, learning_rate',
        ),
        (("train", "demand", "--set", "X=1", "--dry-run"), 'fit of demand has no hyperparameter "X"'),
        (("train", "demand", "--set", "learning_rat=1", "--dry-run"), 'did you mean "learning_rate"?'),
        (("rollouts", "show", "ro_1"), 'no rollout "ro_1"'),
        (("incidents", "show", "inc_1"), 'no incident "inc_1"'),
        (("rollback", "demand"), "no former champion"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said(flyball, arguments: tuple[str, ...], words: str, trained_project: Path) -> None:
    ended = flyball(*arguments, "--project", trained_project)
    assert ended.code == 1
    assert words in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("token", "create", "ben", "--role", "viewer", "--expires", "90"), "--expires 90d"),
        (("token", "create", "ben", "--role", "viewer", "--expires", "-1d"), "--expires 1d"),
        (("token", "create", "ben", "--role", "viewer", "--expires", "soon"), "--expires 90d"),
        (("waive", "demand@1.0.0", "--gate", "mae <= 1", "--reason", "x", "--until", "1x"), "7d, or 2026-09-01T00:00:00Z"),
        (("waive", "demand@1.0.0", "--gate", "mae <= 1", "--reason", "x", "--until", "2020-01-01T00:00:00Z"), "name a later time"),
        (("token", "create", "ben", "--role", "frob"), "viewer, scientist"),
        (("token", "create", "ben", "--role", "viewer", "--scope", "predikt"), 'did you mean "predict"?'),
        (("token", "create", "ben", "--role", "viewer", "--model", "a b"), '"price-*"'),
        (("models", "list", "--search", "accuracy>>x"), "accuracy>0.7"),
        (("models", "list", "--search", "state=elegible"), 'did you mean "eligible"?'),
        (("models", "note", "demand@1.0.0", "--tag", "a b"), "reviewed=yes"),
        (("models", "card", "demand@1.0.0", "--fill", "ethic", "x"), 'did you mean "ethics"?'),
        (("predict", "demand", "row.json", "--time", "yesterday"), "--time 2026-01-31T12:00:00Z"),
        (("features", "verify", "--since", "1x"), "--since 24h"),
        (("features", "materialise", "--all", "--since", "1x"), "--since 2026-01-31T12:00:00Z"),
        (("data", "infer", "data/demand.csv", "--name", "a b"), "rename the data set"),
        (("data", "erase", "--subject", "", "--reason", "x"), "write it out"),
        (("rollback", "demand", "--idempotency-key", "k" * 201), "choose a shorter one"),
        (("gc", "--older-than", "5"), "--older-than 5d"),
        (("gc", "--older-than", "-3d"), "--older-than 3d"),
        (("gc", "--older-than", "long"), "--older-than 90d"),
        (("train", "demand", "--set", "depth"), "--set max_depth=4"),
        (("train", "demand", "--set", "max_depth=3", "--set", "max_depth=4"), "--set max_depth=… once"),
        (("train", "demand", "--set", "learning_rate=Infinity"), "learning_rate=1e9"),
        (("train", "demand", "--set", "learning_rate=-1e999"), "learning_rate=1e9"),
        (("train", "demand", "--set", "learning_rate=NaN", "--dry-run"), "learning_rate=1e9"),
        (("train", "demand", "--set", "max_depth=9007199254740992"), "max_depth=1e18"),
        (("train", "demand", "--release", "--no-release"), "leave one of them out"),
        (("train", "demand", "--no-release", "--release", "--dry-run"), "leave one of them out"),
        (("up", "--watch", "--no-watch"), "leave one of them out"),
        (("train", "demand", "--trials", "-1"), "greater than or equal to 0"),
        (("train", "demand", "--trials", "10001"), "less than or equal to 10000"),
        (("train", "demand", "--trials", "x"), "valid integer"),
        (("approve", "demand@1.0.0"), '--reason "…"'),
        (("reject", "demand@1.0.0", "--reason", " "), '--reason "…"'),
        (("waive", "demand@1.0.0", "--gate", "mae <= 1"), '--reason "…"'),
        (("waive", "demand@1.0.0", "--reason", "x"), '--gate "…"'),
        (("models", "quarantine", "demand@1.0.0"), '--reason "…"'),
        (("models", "deprecate", "demand@1.0.0", "--reason", " "), '--reason "…"'),
        (("models", "delete", "demand@1.0.0"), '--reason "…"'),
        (("token", "revoke", "tok_1"), '--reason "…"'),
        (("data", "erase", "--subject", "x"), '--reason "request NUMBER"'),
        (("incidents", "resolve", "inc_1"), '--reason "…"'),
        (("incidents", "review", "inc_1", "--text", " "), '--text "…"'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_argument_is_bad_usage(flyball, arguments: tuple[str, ...], fix: str, trained_project: Path) -> None:
    ended = flyball(*arguments, "--project", trained_project)
    assert (ended.code, fix in ended.err, "Traceback" in ended.err) == (2, True, False), ended.err
    told = flyball(*arguments, "--project", trained_project, "--json")
    assert (told.code, told.document["code"]) == (2, "usage")


def test_a_dry_run_is_told_as_people_read_it(flyball, new: Path) -> None:
    arguments = ("token", "create", "ben", "--role", "viewer", "--role", "operator", "--dry-run", "--project", new)
    dry = flyball(*arguments).out
    assert "roles=viewer, operator" in dry
    assert not set("[]()") & set(dry), dry


def test_a_run_that_could_only_fail_is_not_queued(flyball, trained: Path) -> None:
    jobs = sorted((trained / ".flyball" / "jobs").iterdir())
    ended = flyball("train", "demand", "--set", "Q=1", "--project", trained)
    assert (ended.code, 'no hyperparameter "Q"' in ended.err) == (1, True)
    assert sorted((trained / ".flyball" / "jobs").iterdir()) == jobs
    with_one = flyball("train", "demand", "--set", "learning_rate=0.2", "--dry-run", "--project", trained)
    assert (with_one.code, "would record  run.queued" in with_one.out) == (0, True), "one that nobody searches may be fixed"


def test_init_overwrites_nothing(flyball, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    ended = flyball("init", tmp_path, "--json")
    assert (ended.code, ended.document["code"]) == (1, "not-empty")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert flyball("init", tmp_path / "precious").code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is not JSON"), ("[1]", "holds no row"), ("7", "holds no row"), ("[]", "holds no row"), (b"\xff\xfe{", "is not UTF-8")],
    ids=["half", "numbers", "number", "empty", "bytes"],
)
def test_a_row_that_is_none_is_refused_before_anything_is_sent(flyball, tmp_path: Path, text: str | bytes, words: str) -> None:
    file = tmp_path / "row.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = flyball("predict", "demand", file, "--project", tmp_path)
    assert ended.code == 1
    assert words in ended.err


def test_a_missing_file_is_named(flyball, tmp_path: Path) -> None:
    for verb in (("predict", "demand"), ("label", "demand")):
        ended = flyball(*verb, tmp_path / "nothing.json", "--project", tmp_path)
        assert ended.code == 1
        assert "nothing.json cannot be read" in ended.err


def test_predicting_where_nothing_is_up_is_try_again_later(flyball, new_project: Path, tmp_path: Path) -> None:
    row = tmp_path / "row.json"
    row.write_text('{"hour": 1}')
    ended = flyball("predict", "demand", row, "--project", new_project, "--json")
    assert (ended.code, ended.document["code"], ended.document["retry"]) == (3, "unavailable", "later")
    assert "flyball up" in ended.document["fix"]


def test_up_on_a_port_in_use_names_the_port(flyball, new: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = flyball("up", "--port", port, "--project", new, "--json")
    assert (ended.code, ended.document["code"]) == (1, "port-in-use")
    assert str(port) in ended.document["detail"]


def test_demo_on_a_port_in_use_says_what_demo_takes(flyball, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*_: object, port: int, **__: object) -> None:
        bind("127.0.0.1", port).close()

    monkeypatch.setattr("flyball.demo.run.play", play)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = flyball("demo", "--port", other.getsockname()[1], "--json")
    assert (ended.code, ended.document["code"]) == (1, "port-in-use")
    assert ended.document["fix"].endswith("flyball demo")
    help_text = flyball("demo", "--help").out
    assert "default: (any that is free)" in " ".join(help_text.split())
    assert "default: 0" not in help_text


@pytest.mark.parametrize("verb", ["models", "rollouts", "incidents", "audit", "data", "token"])
def test_the_list_of_a_verbs_commands_is_whole(flyball, verb: str) -> None:
    ended = flyball(verb, "--help")
    assert "..." not in ended.out.partition("Commands:")[2]
    for command in ended.out.partition("Commands:")[2].split("\n"):
        assert not command.strip() or command.split()[0] in VERBS[verb][1]


def test_an_error_whose_only_problem_says_the_same_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = Problem("/time", '"yesterday" is not a time', "times are RFC 3339", "write it so")
    report(BadInput('/time "yesterday" is not a time: times are RFC 3339', fix="write it so", problems=(one,)), as_json=False)
    assert capsys.readouterr().err == 'error  /time  "yesterday" is not a time\n    why  times are RFC 3339\n    fix  write it so\n'


def test_the_bytes_of_a_file_are_shown_and_not_obeyed(flyball, new: Path) -> None:
    (new / "loop.py").write_bytes(b"x = '\x1b[2J\x1b]0;t\x07\n")
    for ended in (flyball("check", new), flyball("apply", "--project", new)):
        assert "\\x1b" in ended.out
        assert not {"\x1b", "\x07"} & set(ended.out)


def test_a_broken_settings_file_is_named(flyball, new: Path) -> None:
    (new / "flyball.toml").write_text("[settings]\nprot = 1\n")
    assert '"prot" is not a setting' in flyball("status", "--project", new).err
    (new / "flyball.toml").write_text("[settings]\ndetector = 2\n")
    assert "it is on (1) or off (0)" in flyball("status", "--project", new).err
    for text, words in (
        ("[settings]\nport = 'abc'\n", 'the setting port is "abc"'),
        ("detector = 0\n", '"detector" where it says nothing'),
        ("[sttings]\nport = 3\n", '"sttings" where it says nothing'),
    ):
        (new / "flyball.toml").write_text(text)
        assert words in flyball("status", "--project", new).err
    (new / "flyball.toml").write_text("[settings")
    assert "flyball.toml cannot be read" in flyball("status", "--project", new).err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(flyball, new: Path) -> None:
    (new / "data" / "demand.csv").chmod(0)
    ended = flyball("train", "demand", "--project", new)
    assert ended.code == 1
    assert "cannot be opened" in ended.err


def test_a_ledger_that_is_none_is_an_error_with_words(flyball, new: Path) -> None:
    (new / ".flyball" / "ledger.db").write_bytes(b"this is no database" * 100)
    for verb in (("status",), ("audit", "verify"), ("check",)):
        ended = flyball(*verb, "--project", new)
        assert ended.code in (1, 3)
        assert ended.err.startswith("error  ")
