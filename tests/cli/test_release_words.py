"""A version that can never be released is not said to be one that a person, or the loop, releases."""

from pathlib import Path
from typing import Any

NEVER = "takes other requests than the champion 1.0.0: field weekday is new; callers send what the champion takes, so the two cannot be compared on the same requests"
INSTEAD = "declare it to take what the champion takes; or as a model of another name: move its callers there, then retire this one"


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
