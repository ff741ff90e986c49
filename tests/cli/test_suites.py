"""An absent suite holds a version; there, it lets it pass or refuses it."""

import re
from pathlib import Path

import polars as pl

CASES = """
winter = fb.Dataset(
    "winter",
    source="data/winter.csv",
    time="ts",
    columns={"hour": fb.column(int, known_after="-7d"), "weekday": fb.column(int, known_after="-7d"),
             "temperature": fb.column(float, known_after="-1d"), "demand": float},
)

demand = fb.Model("""


def suited(folder: Path, at_least: float) -> Path:
    file = folder / "loop.py"
    text = re.sub(r"\ndemand = fb.Model\(", CASES, file.read_text())
    file.write_text(text.replace("    owner=", f'    suites=[fb.suite("winter", winter, metric="r2", at_least={at_least})],\n    owner='))
    return folder


def winter(folder: Path, warmer: float = 0.37) -> None:
    """Cases of their own: the temperature of each is none of the data's."""
    rows = pl.read_csv(folder / "data" / "demand.csv")
    rows.tail(600).with_columns(pl.col("temperature") + warmer).write_csv(folder / "data" / "winter.csv")


def trained(flyball, folder: Path):
    document = flyball("train", "demand", "--trials", 0, "--project", folder, "--json").document
    shown = flyball("models", "show", f"demand@{document['version']}", "--project", folder, "--json").document
    return document, next(verdict for verdict in shown["verdicts"] if verdict["check"].startswith("suite "))


def test_a_version_is_held_while_its_suite_is_absent_and_eligible_once_it_is_there(flyball, new: Path) -> None:
    suited(new, 0.5)
    document, verdict = trained(flyball, new)
    assert document["state"] == "candidate"
    assert flyball("models", "show", f"demand@{document['version']}", "--project", new, "--json").document["state"] == "held"
    assert verdict["outcome"] == "insufficient"
    assert verdict["why"] == 'data set "winter": data/winter.csv does not exist'
    refused = flyball("release", f"demand@{document['version']}", "--reason", "try", "--project", new, "--json")
    assert refused.code != 0

    winter(new)
    document, verdict = trained(flyball, new)
    assert (document["state"], verdict["outcome"]) == ("eligible", "pass"), verdict
    assert verdict["check"] == "suite winter: r2 ≥ 0.5"


def test_cases_that_go_missing_later_hold_the_next_version_and_the_file_is_named(flyball, new: Path) -> None:
    suited(new, 0.5)
    winter(new)
    assert trained(flyball, new)[0]["state"] == "eligible"
    (new / "data" / "winter.csv").unlink()
    told = flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--project", new)
    assert 'suite     its cases cannot be read, so it is insufficient: data set "winter": data/winter.csv does not exist' in told.err
    assert "INSUFFICIENT  suite winter: r2 ≥ 0.5" in told.out, told.out
    assert "data/winter.csv does not exist" in told.out
    assert (
        "held by 1 open gate: bring the cases that are missing: flyball check --data says which; then flyball train demand judges it on them"
        in told.out
    )
    winter(new)
    document, verdict = trained(flyball, new)
    assert (document["state"], verdict["outcome"]) == ("eligible", "pass"), verdict


ENDED = """
import os
import polars as pl

def cases():
    if os.path.exists({flag!r}):
        os.kill(os.getpid(), 9)
    return pl.read_csv({csv!r}, try_parse_dates=True)

winter = fb.Dataset(
    "winter", source=cases,"""


def test_cases_whose_reading_is_killed_are_insufficient_whatever_they_were_before(flyball, new: Path) -> None:
    winter(suited(new, 0.5))
    file, flag = new / "loop.py", new / "flag"
    text = file.read_text()
    code = ENDED.format(flag=str(flag), csv=str(new / "data" / "winter.csv"))
    file.write_text(re.sub(r'\nwinter = fb.Dataset\(\n    "winter",\n    source="data/winter.csv",', lambda _: code, text))
    document, verdict = trained(flyball, new)
    assert document["state"] == "eligible", verdict["why"]
    flag.touch()
    told = flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--project", new)
    assert "INSUFFICIENT  suite winter: r2 ≥ 0.5" in told.out, told
    assert "was ended by SIGKILL" in told.out
    flag.unlink()
    document, verdict = trained(flyball, new)
    assert (document["state"], verdict["outcome"]) == ("eligible", "pass"), verdict


def test_a_version_that_does_badly_on_its_suite_is_rejected(flyball, new: Path) -> None:
    winter(suited(new, 0.9999))
    document, verdict = trained(flyball, new)

    assert (document["state"], verdict["outcome"]) == ("rejected", "fail")
    assert "at least 1.000" in verdict["why"]


def test_training_rows_under_another_name_hold_a_version_whatever_it_says_of_them(flyball, new: Path) -> None:
    winter(suited(new, 0.5), warmer=0.0)
    document, verdict = trained(flyball, new)
    assert (document["state"], verdict["outcome"]) == ("candidate", "insufficient")
    told = re.search(r"(\d+) of its 600 rows are in training too", verdict["why"])
    assert told, verdict["why"]
    assert 400 < int(told[1]) < 600 - 168
    text = flyball("train", "demand", "--trials", 0, "--project", new).out
    assert "bring cases of suite winter that are not among the training rows, then flyball train demand" in text
    winter(new)
    document, verdict = trained(flyball, new)
    assert (document["state"], verdict["outcome"]) == ("eligible", "pass"), verdict
