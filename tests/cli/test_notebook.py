"""`model.fit()` and `model.frame()`: the recorded run of `flyball train`, of a model in a loop file or in cells."""

import json
import os
import subprocess
import sys

import pytest

from flyball.cli.cells import loop_text
from flyball.errors import BadInput
from flyball.records.training import RUNS
from flyball.records.versions import VERSIONS
from flyball.wiring import open_project

CELLS = [
    "%load_ext nothing\nimport flyball as fb\nimport polars as pl",
    "from sklearn.ensemble import HistGradientBoostingRegressor\nDEPTH = 3",
    "def clip(y):\n    return y.clip(0, 500)",
    # a first try, which is written again below
    "def fit(X, y):\n    raise ValueError('the first try')",
    "print('looking around'); plots = []",
    """def fit(X: pl.DataFrame, y: pl.Series, *, max_depth: int = DEPTH):
    # a comment stays
    return HistGradientBoostingRegressor(max_depth=max_depth, max_iter=20, random_state=0).fit(X, clip(y))""",
    """town = fb.Dataset("power", source="data/demand.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-7d"), "temperature": fb.column(float, known_after="-1d"), "demand": float})""",
    """power = fb.Model("power-cells", task="regression", data=town, label="demand",
    train=fb.Train(fit, window="60d", holdout="7d"), gates=[fb.metric("mae") <= fb.baseline])""",
]

PROCESS = """
import json, sys
In = [""]
def run(cell):
    In.append(cell)
    lines = [line for line in cell.splitlines() if not line.startswith("%")]
    exec(compile("\\n".join(lines), f"<ipython-input-{len(In)}>", "exec"), globals())
for cell in json.loads(sys.argv[1]):
    run(cell)
"""


def process(project, cells):
    """What a notebook's kernel does: it runs the text of cells in one namespace, and keeps the texts in `In`."""
    argv = [sys.executable, "-c", PROCESS, json.dumps(cells)]
    return subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False, env=dict(os.environ))


def standing(project):
    wired = open_project(project)
    try:
        state = wired.ledger.state()
        return dict(state.scan(VERSIONS)), dict(state.scan(RUNS))
    finally:
        wired.close()


@pytest.mark.process
def test_a_model_in_cells_makes_a_recorded_run_whose_code_is_kept_as_source(new, flyball):
    told = "print(json.dumps([run_1.version, run_1.register(), run_1.metrics['mae'].value, [v.outcome for v in run_1.verdicts], run_1.id]))"
    ended = process(new, [*CELLS, "run_1 = power.fit(max_depth=4)", "print(run_1)", told])
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout.splitlines()
    version, registered, mae, outcomes, run = json.loads(shown[-1])
    assert (version, registered, outcomes) == ("power-cells@1.0.0", "power-cells@1.0.0", ["pass"])
    assert shown[-2].startswith(f"{run} → power-cells@1.0.0  mae ")
    versions, runs = standing(new)
    assert versions["power-cells/1.0.0"].metrics["mae"].value == mae
    assert (runs[run].trigger, runs[run].release, runs[run].reason) == ("manual", False, "model.fit() in a notebook")
    source = (new / "loops" / "notebook_power_cells.py").read_text()
    assert "# a comment stays" in source
    assert not {"the first try", "looking around", "%load_ext", "run_1"} & {line.strip() for line in source.splitlines()}
    assert "the first try" not in source
    # from now on it is a model of the project, for every verb
    again = flyball("train", "power-cells", "--reproduce", run, "--project", new, "--json")
    assert (again.code, again.document["same"]) == (0, True)


@pytest.mark.process
def test_a_model_of_a_loop_file_is_fitted_as_train_does_and_its_rows_are_shown(new):
    cells = [
        "from loop import demand",
        "rows = demand.frame()",
        "found = demand.fit(max_depth=3, learning_rate=0.2)",
        "print(json.dumps([rows.columns, rows.height, found.version, found.result.parameters]))",
    ]
    ended = process(new, cells)
    assert ended.returncode == 0, ended.stderr
    columns, height, version, parameters = json.loads(ended.stdout.splitlines()[-1])
    assert columns[0] == "ts"
    assert columns[-1] == "demand"
    assert {"rising", "demand_now", "temperature"} <= set(columns)
    assert height > 5_000
    assert (version, parameters) == ("demand@1.0.0", {"max_depth": 3, "learning_rate": 0.2})
    assert not (new / "loops").exists(), "its source is the loop file"


@pytest.mark.process
@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["from loop import demand", "demand.fit(max_dept=3)"], 'did you mean "max_depth"'),
        (["from loop import demand", "demand.replace(retrain=None, label='hour').fit()"], '"demand" is not what loop.py declares'),
        ([*CELLS[:3], "def fit(X, y):\n    raise ValueError('no luck')", *CELLS[6:], "power.fit()"], "fit raised ValueError: no luck"),
    ],
)
def test_what_goes_wrong_is_told_as_on_the_command_line(new, cells, says: str):
    ended = process(new, cells)
    assert ended.returncode == 1
    assert says in ended.stderr


@pytest.mark.process
def test_a_model_in_cells_that_cannot_be_declared_leaves_the_loop_file_as_it_was(new, flyball):
    file = new / "loops" / "notebook_power_cells.py"
    broken = [*CELLS[:-1], CELLS[-1].replace('label="demand"', 'label="demnd"'), "power.fit()"]
    ended = process(new, broken)
    assert "demnd" in ended.stderr
    assert not file.exists()
    assert flyball("check", "--project", new).code == 0
    assert process(new, [*CELLS, "power.fit()"]).returncode == 0
    held = file.read_text()
    assert process(new, broken).returncode == 1
    assert file.read_text() == held


def test_what_a_model_needs_is_taken_from_cells_and_nothing_else():
    text = loop_text([*CELLS, "other = 7", "del plots", "broken ("], "power")
    assert text.splitlines()[0] == "import flyball as fb"
    for kept in ("DEPTH = 3", "def clip(y):", "# a comment stays", 'power = fb.Model("power-cells"'):
        assert kept in text
    for left in ("the first try", "looking around", "other", "plots", "%load_ext", "broken"):
        assert left not in text
    compile(text, "loop.py", "exec")


def test_decorated_functions_classes_and_several_names_at_once_are_kept_whole():
    cells = [
        "import functools\na, b = 1, 2",
        "@functools.cache\ndef f():\n    return b",
        "class C:\n    def g(self):\n        return f()",
        "m = C()",
    ]
    namespace: dict = {}
    exec(loop_text(cells, "m"), namespace)
    assert namespace["m"].g() == 2


def test_a_name_that_no_cell_binds_is_told():
    with pytest.raises(BadInput, match='no cell says what "m" is'):
        loop_text(["x = 1"], "m")
