"""What `check` and `apply` say of problems that have two places, or none of their own."""

import re
import shutil
from pathlib import Path

import pytest

TWO = '\ntwo = demand.replace("two")\n'


@pytest.fixture
def doubled(new: Path) -> Path:
    """`demand` stands in two files; each has a model of its own too."""
    text = (new / "loop.py").read_text()
    (new / "loops").mkdir()
    (new / "loop.py").write_text(text + TWO)
    (new / "loops" / "other.py").write_text(text + TWO.replace("two", "three"))
    return new


def test_a_name_in_two_files_is_one_problem_and_stops_one_model(flyball, doubled: Path) -> None:
    ended = flyball("check", doubled)
    assert ended.code == 1
    assert ended.out.count("there are two of this name") == 1
    assert "loop.py:35 and loops/other.py:35" in ended.out
    assert ended.out.splitlines()[-1].startswith("2 models, 1 problem,")
    document = flyball("check", doubled, "--json").document
    assert (document["problems"], [model["name"] for model in document["models"]]) == (1, ["two", "three"])
    assert [file["file"] for file in document["broken"]] == ["loop.py", "loops/other.py"]


def test_the_other_models_of_both_files_are_applied_and_trained(flyball, doubled: Path) -> None:
    ended = flyball("apply", "--project", doubled)
    assert ended.code == 1
    assert ended.out.count("there are two of this name") == 1
    assert "in loops/other.py: demand stays as it was" in ended.out
    names = {one["name"] for one in flyball("status", "--project", doubled, "--json").document["models"]}
    assert names == {"two", "three"}
    assert flyball("train", "two", "--trials", 0, "--no-release", "--project", doubled).code == 0
    stopped = flyball("train", "demand", "--project", doubled, "--json")
    assert (stopped.code, stopped.document["code"]) == (1, "declaration")


def test_what_is_wrong_with_data_is_counted_and_said_once(flyball, new: Path) -> None:
    rows = new / "data" / "demand.csv"
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join([*lines, lines[-1].replace(",", ",x", 1)]) + "\n")
    ended = flyball("check", new, "--data")
    assert ended.out.splitlines()[-1].startswith("1 model, 1 problem,")
    assert 'data set "town"' not in ended.out
    rows.unlink()
    ended = flyball("check", new, "--data")
    assert ended.out.count("data/demand.csv does not exist") == 1
    assert 'data set "town"' not in ended.out
    assert 'Data set "town"' in ended.out


def test_after_a_run_the_check_says_what_gates_can_see_and_how_long_live_evidence_takes(flyball, trained: Path) -> None:
    [before] = flyball("check", trained, "--json").document["models"]
    kinds = {one["kind"]: one for one in before["power"]}
    assert kinds["gate"]["check"] == "mae ≤ champion × 1.05"
    assert kinds["gate"]["smallest"] > 0
    assert kinds["gate"]["basis"].startswith("assumed"), "the first version met no champion"
    assert kinds["promotion"]["traffic"] == 'rows a day of data set "town"'
    assert {"promotion", "detection"} <= kinds.keys()
    text = flyball("check", trained).out
    assert 'power          "mae ≤ champion × 1.05" can see a rise of ' in text


def test_a_pull_request_gets_a_report_against_its_base(flyball, new: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(new, tmp_path / "base"))
    loop = new / "loop.py"
    told = flyball("check", new, "--ci", "--against", base)
    assert (told.code, "**When applied:** nothing: it is so already." in told.out) == (0, True)
    loop.write_text(loop.read_text().replace("* 1.05", "* 1.02"))
    told = flyball("check", new, "--ci", "--against", base)
    assert (
        "**When applied:** a judging anew, without a training: what waits and what serves are judged by the new gates, and what serves goes on."
        in told.out
    )
    assert "- changed: `gates: + mae ≤ champion × 1.02`" in told.out
    loop.write_text(loop.read_text().replace('holdout="7d"', 'holdout="9d"').replace('"hour": fb.column(int', '"hour": fb.column(float'))
    document = flyball("check", new, "--ci", "--against", base, "--json").document
    assert document["models"][0]["when_applied"].startswith("a run (made by itself)")
    assert "- **a request changes:** `field hour was int and is float`" in document["report"]
    alone = flyball("check", new, "--ci")
    assert "**When applied:** a first run (made by itself)." in alone.out


def test_a_report_with_problems_exits_1_and_so_does_a_base_that_is_broken(flyball, new: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(new, tmp_path / "base"))
    (new / "loop.py").write_text("broken(")
    ended = flyball("check", new, "--ci", "--against", base)
    assert ended.code == 1
    assert "## flyball check: 0 models, 1 problem, 0 warnings" in ended.out
    turned = flyball("check", base, "--ci", "--against", new, "--json")
    assert (turned.code, "there is nothing to compare with" in turned.document["detail"] + str(turned.document)) == (1, True)
    assert flyball("check", base, "--against", tmp_path / "nowhere").code == 1


def test_rows_that_no_run_can_be_made_of_are_a_warning(flyball, new: Path) -> None:
    rows = new / "data" / "demand.csv"
    lines = rows.read_text().splitlines()
    assert "rows to learn from" not in flyball("check", new, "--data").out
    loop = new / "loop.py"
    loop.write_text(re.sub(r"min_rows=[\d_]+,\n", "", loop.read_text()))
    rows.write_text("\n".join(lines[:4]) + "\n")
    few = flyball("check", new, "--data")
    assert re.search(r'data set "town" has 3 rows to learn from and to judge by: 0 before the hold-out, \d in it', few.out), few.out
    place = lines[0].split(",").index("demand")
    constant = [",".join("5.0" if at == place else cell for at, cell in enumerate(line.split(","))) for line in lines[1:]]
    rows.write_text("\n".join([lines[0], *constant]) + "\n")
    same = flyball("check", new, "--data")
    assert f'the label "demand" is 5.0 in each of {len(constant):,} rows' in same.out, same.out


def test_requests_are_compared_with_what_the_champion_takes_not_with_what_was_applied_last(flyball, narrow: Path, sliced) -> None:
    before = (narrow / "loop.py").read_text()

    def warned() -> list[str]:
        [model] = flyball("check", narrow, "--json").document["models"]
        # how soon a rise is found is another matter
        return [one["what"] for one in model["warnings"] if one["where"] != "/monitors"]

    assert warned() == []
    sliced(narrow)
    said = "it takes other requests than the champion 1.0.0: field weekday is new"
    assert warned() == [said]
    assert said in flyball("apply", "--project", narrow).err
    assert warned() == [said], "applied, its versions are released as little as before"
    assert "- **a request changes:** `field weekday is new`" in flyball("check", narrow, "--ci").out
    (narrow / "loop.py").write_text(before)
    assert warned() == [], "undone, they are released again"
    assert said not in flyball("apply", "--project", narrow).err


def test_without_a_champion_nobody_sends_anything_yet(flyball, trained: Path) -> None:
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace('    label="demand",\n', '    label="demand",\n    inputs=["hour", "temperature"],\n'))
    [model] = flyball("check", trained, "--json").document["models"]
    assert [one["where"] for one in model["warnings"]] == ["/monitors"], "and how soon a rise is found is another matter"


def test_what_is_found_how_soon_and_how_many_pages_of_nothing_there_may_be_is_said_of_a_trained_model(flyball, trained: Path) -> None:
    told = flyball("check", trained)
    assert "a rise of the error rate by" in told.out or "a rise of the loss (a share of its cap) by" in told.out
    # how many labels a day would do is told where any number would: that hangs on how the days of the hold-out differ
    assert "a longer hold-out narrows its bound" in told.out
    assert "a shift of half a standard deviation is found" in told.out
    assert "expected false pages: ≤ 1 a year" in told.out
    [model] = flyball("check", trained, "--json").document["models"]
    assert {"time_to_detection", "time_to_drift", "false_pages"} <= {line["kind"] for line in model["power"]}


def test_an_objective_is_checked_and_its_budget_stands_in_the_status(flyball, trained: Path) -> None:
    loop = trained / "loop.py"
    text = loop.read_text()
    objective = '    objectives=[fb.Objective("{}", target="{}", window="30d")],\n    label="demand",\n'
    loop.write_text(text.replace('    label="demand",\n', objective.format("error_rat", "100%"), 1))
    refused = flyball("check", trained)
    assert refused.code == 1
    assert "a target of 100% leaves no budget" in refused.out
    assert '"error_rat" is not a metric' in refused.out
    loop.write_text(text.replace('    label="demand",\n', objective.format("error_rate", "99.9%"), 1))
    assert 'objective "error_rate, 99.9% over 30d"' in flyball("check", trained).out
    flyball("apply", "--project", trained)
    status = flyball("status", "--project", trained)
    assert "error_rate, 99.9% over 30d: no requests yet" in status.out
    assert "expected false pages: ≤ 1 a year" in status.out
    document = flyball("status", "--project", trained, "--json").document
    [budget] = document["budgets"]
    assert (budget["objective"], budget["left"], budget["spent"], budget["back_at"]) == ("error_rate, 99.9% over 30d", 1.0, False, None)
    assert document["false_pages"]["a_year"] <= 1.01


def test_against_another_copy_the_requests_of_its_declaration_count(flyball, narrow: Path, sliced, tmp_path: Path) -> None:
    base = Path(shutil.copytree(narrow, tmp_path / "base"))
    sliced(narrow)
    [model] = flyball("check", narrow, "--against", base, "--json").document["models"]
    [told] = [one for one in model["warnings"] if one["where"] != "/monitors"]
    assert told["what"] == f"it takes other requests than the declaration in {base}: field weekday is new"
    assert "beside a champion of that declaration" in told["why"]
