"""What stops a version is told where it is looked for, all of it, with what helps: no advice that would be refused."""

from pathlib import Path
from typing import Any

NEVER = "takes other requests than the champion 1.0.0: field weekday is new; callers send what the champion takes, so the two cannot be compared on the same requests"
INSTEAD = "declare it to take what the champion takes, and train it again; or as a model of another name: move its callers there, then retire this one"


def test_train_status_and_the_loop_say_what_the_refusal_says(flyball: Any, narrow: Path, sliced: Any) -> None:
    sliced(narrow)
    loop = narrow / "loop.py"
    loop.write_text(loop.read_text().replace('autonomy="act"', 'autonomy={"release": "propose", "training": "record"}'))

    def verb(*arguments: object) -> Any:
        return flyball(*arguments, "--project", narrow)

    end = verb("train", "demand", "--trials", 0).out.splitlines()[-1]
    assert end.endswith(f"demand@1.1.0, eligible, and never released: it {NEVER}: {INSTEAD}")
    assert verb("tick").code == 0
    shown = verb("status").out
    assert "flyball release" not in shown
    assert f"refused   demand@1.1.0: it {NEVER}   → {INSTEAD}" in shown
    document = verb("status", "--json").document
    [row] = document["refused"]
    assert (row["version"], row["next"]) == ("1.1.0", INSTEAD)
    [made] = document["proposals"]
    assert (made["action"], made["target"], made["mode"]) == ("release", "1.1.0", "record"), "nobody is asked for what would be refused"
    assert "takes other requests" in made["reason"]
    refused = verb("release", "demand@1.1.0", "--reason", "x", "--json")
    assert (refused.code, refused.document["fix"]) == (1, INSTEAD)
    assert f"refused   it {NEVER}" in verb("models", "show", "demand@1.1.0").out


def test_a_rejected_version_is_told_by_status_with_the_gate_and_what_it_lacks_besides(flyball: Any, new: Path) -> None:
    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.metric("mae") <= 0.01, fb.approval("risk-officer"), '))

    def verb(*arguments: object) -> Any:
        return flyball(*arguments, "--project", new)

    end = verb("train", "demand", "--trials", 0).out.splitlines()[-1]
    waive = 'lets it pass: flyball waive demand@1.0.0 --gate "mae ≤ 0.01" --reason "…"'
    assert "demand@1.0.0, rejected by 1 failed gate and 1 open gate: train a better version: flyball train demand; or another person, as approver or admin" in end  # fmt: skip
    assert waive in end
    assert 'flyball approve demand@1.0.0 --reason "…"' in end.partition("then, for what is open: ")[2]
    shown = verb("status").out
    assert "demand: no version answers yet\n" in shown, "the command has a line of its own"
    line = next(line for line in shown.splitlines() if line.startswith("rejected"))
    assert line.startswith("rejected  demand@1.0.0: failed mae ≤ 0.01: ")
    assert "; open as well: approval by 1 risk-officer   → flyball models show demand@1.0.0 says more; train a better version" in line
    assert waive in line
    [row] = verb("status", "--json").document["rejected"]
    assert (row["model"], row["version"]) == ("demand", "1.0.0")
    refused = verb("release", "demand@1.0.0", "--reason", "x").err
    assert "open as well: approval by 1 risk-officer: none given" in refused
    assert waive in refused


SHARE = 'split="stratified", holdout="20%"'


def test_a_version_whose_hold_out_is_a_share_of_the_rows_is_not_said_to_be_judged_again(flyball: Any, new: Path) -> None:
    loop = new / "loop.py"
    text = (
        loop.read_text()
        .replace('window="120d", holdout="7d"', SHARE)
        .replace("    owner=", '    slices={"hot": pl.col("temperature") > 45.0},\n    owner=')
    )
    loop.write_text(text.replace("gates=[", 'gates=[fb.metric("mae").by("hot") <= 50, ').replace(', every="30d", cooldown="10d"', ""))

    def verb(*arguments: object) -> Any:
        return flyball(*arguments, "--project", new)

    trained = verb("train", "demand", "--trials", 0)
    assert trained.code == 0, trained.err
    assert "held by" in trained.out
    for told in (trained.out, verb("status").out, verb("release", "demand@1.0.0", "--reason", "x").err):
        assert "no row that comes judges it again, for a share of the rows is held out" in told
        assert "it is judged again" not in told
