"""Loop files become declarations in a child of their own; a broken file stops its own models alone."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.declare import codec
from flyball.loop import compile_child, compiling
from flyball.loop.compiling import Compiler, compile_project

LOOP = """
import flyball as fb
{head}
data = fb.Dataset("d", source="d.csv", time="ts", columns={{"a": float, "y": int}})
def fit(X, y, *, depth=2):
    return depth

{name} = fb.Model("{name}", task="regression", data=data, label="y", owner="me", train=fb.Train(fit{train}), gates=[fb.metric("mae") <= {bound}])
"""
GIVEN = {"head": "", "name": "one", "bound": "1", "train": ""}
pytestmark = pytest.mark.process


def loop(**changes: str) -> str:
    return LOOP.format(**(GIVEN | changes))


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "flyball.toml").touch()

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def only_problem(root: Path, **options) -> str:
    compilation = compile_project(root, **options)
    assert compilation.models == ()
    [broken] = compilation.broken
    [problem] = broken.problems
    return str(problem)


def test_every_model_at_module_level_is_compiled_with_its_place(project) -> None:
    text = loop(head="from tools import BOUND", bound="BOUND") + '\nmore = [one.replace("two"), one.replace("three")]\n'
    root = project(loops__price=text, tools="BOUND = 3\n", unused="raise RuntimeError")
    compilation = compile_project(root)
    assert compilation.broken == ()
    assert [(item.model, item.file, item.line) for item in compilation.models] == [
        ("one", "loops/price.py", 8),
        ("two", "loops/price.py", 10),
        ("three", "loops/price.py", 10),
    ]
    first = compilation.models[0]
    assert sorted(first.code) == ["loops/price.py", "tools.py"]
    assert [str(gate) for gate in codec.decode(first.body).gates] == ["mae ≤ 3"]
    assert (first.version_digest, first.policy_digest, first.gates_digest) == codec.digests(first.body)


def test_a_model_imported_from_another_loop_file_belongs_to_that_file(project) -> None:
    root = project(loops__a=loop(), loops__b='from loops.a import one\nvic = one.replace("vic")\n')
    compilation = compile_project(root)
    assert [(item.model, item.file) for item in compilation.models] == [("one", "loops/a.py"), ("vic", "loops/b.py")]


def test_a_model_made_by_a_factory_belongs_to_the_file_that_calls_it(project) -> None:
    factory = loop(head="", name="base").replace("base = fb.Model(", "def make(name):\n  return fb.Model(").replace('"base"', "name")
    root = project(loops__house=factory, loops__b='from loops.house import make\n\nvic = make("vic")\n')
    compilation = compile_project(root)
    assert [(item.model, item.file, item.line) for item in compilation.models] == [("vic", "loops/b.py", 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = (\n", "loop.py:1  syntax error"),
        ("import nowhere_at_all\n", 'there is no module "nowhere_at_all"'),
        ("\nraise ValueError('no luck')\n", "loop.py:2  ValueError: no luck"),
        ("import sys\nsys.exit(0)\n", "loop.py:2  the file ends the process"),
        ("import os\nos._exit(3)\n", "ended with exit code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ended by signal 11"),
        ("import flyball as fb\nfb.window('30')\n", "loop.py:2  window: "),
        ("import flyball as fb\nfb.Window\n", 'flyball has no "Window"; did you mean "window"?'),
        ("import flyball as fb\nfb.Rollout(guard=[])\n", 'Rollout has no argument "guard"\n    fix  did you mean "guards"?'),
        ("import flyball as fb\nfb.Model('x', slcies=[])\n", 'Model has no argument "slcies"\n    fix  did you mean "slices"?'),
        ("import flyball as fb\nfb.Rollout().canary('5%', '1d', label=3)\n", 'did you mean "labels"?'),
        ("import flyball as fb\nbool(fb.metric('a') >= 1)\n", "has no truth value"),
        ("x = bytearray(2**40)\n", "runs out of memory"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_where(project, text: str, expected: str) -> None:
    assert expected in only_problem(project(loop=text))


def test_a_fault_of_ours_is_not_laid_on_the_file(tmp_path: Path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("x0")

    monkeypatch.setattr(compile_child, "compile_file", fails)
    # of the child alone, not of who tests it
    monkeypatch.setattr(compile_child.os, "nice", lambda _: 0)
    monkeypatch.setattr(compile_child.resource, "setrlimit", lambda *_: None)
    read, write = os.pipe()
    kept = os.dup(1)
    try:
        os.dup2(write, 1)
        assert compile_child.main([str(tmp_path), "loop.py"]) == 0
    finally:
        os.dup2(kept, 1)
        for one in (write, kept):
            os.close(one)
    with os.fdopen(read) as answer:
        [problem] = json.load(answer)["problems"]
    assert problem["what"] == "flyball failed at this file: KeyError: 'x0'"
    assert problem["where"] == "loop.py:1"


def test_a_file_whose_name_is_no_module_name_is_told_so(project) -> None:
    root = project(loops__a="")
    (root / "loops" / "a.b.py").write_text("")
    [broken] = compile_project(root).broken
    assert "cannot hold a dot" in str(broken.problems[0])


def test_a_file_that_breaks_a_rule_says_where_its_model_stands(project) -> None:
    said = only_problem(project(loop=loop(train=', search={"deth": fb.integers(1, 3)}')))
    assert said.startswith('loop.py:8  Model "one"  search names "deth"')


def test_a_file_that_hangs_is_stopped_with_all_it_started(project, tmp_path: Path) -> None:
    text = (
        "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\nopen('pid', 'w').write(str(child.pid))\ntime.sleep(600)\n"
    )
    said = only_problem(project(loop=text), timeout_s=3)
    assert "still being imported after 3 s" in said
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}/stat") and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_what_a_file_prints_and_reads_disturbs_nothing(project) -> None:
    noise = "import os, sys, threading, time\nprint('{')\nos.write(1, b'noise')\nassert sys.stdin.read() == ''\n"
    noise += "threading.Thread(target=time.sleep, args=(600,)).start()"
    assert [item.model for item in compile_project(project(loop=loop(head=noise))).models] == ["one"]


def test_a_broken_file_stops_its_own_models_alone(project) -> None:
    compilation = compile_project(project(loops__a=loop(), loops__b="1 / 0"))
    assert [item.model for item in compilation.models] == ["one"]
    assert [item.file for item in compilation.broken] == ["loops/b.py"]
    assert compilation.files == ("loops/a.py", "loops/b.py")


def test_two_models_of_one_name_are_a_problem_that_names_both_places(project) -> None:
    compilation = compile_project(project(loops__a=loop(), loops__b=loop(head="#\n"), loops__c=loop(name="two")))
    assert [item.model for item in compilation.models] == ["two"]
    assert [item.file for item in compilation.broken] == ["loops/a.py", "loops/b.py"]
    assert "loops/a.py:8 and loops/b.py:9" in str(compilation.broken[0].problems[0])


def test_an_unchanged_file_is_not_compiled_again(project, monkeypatch) -> None:
    root = project(loops__a=loop(head="import tools"), loops__b=loop(name="two"), tools="X = 1\n")
    compiled: list[str] = []
    run = compiling.run_child
    monkeypatch.setattr(compiling, "run_child", lambda root, file, **options: compiled.append(file) or run(root, file, **options))
    compiler = Compiler(root)
    first = compiler.compile()
    assert compiler.compile() is first
    project(tools="X = 2\n")
    assert [item.model for item in compiler.compile().models] == ["one", "two"]
    assert sorted(compiled) == ["loops/a.py", "loops/a.py", "loops/b.py"]
    project(loops__b="broken(")
    assert [item.model for item in compiler.compile().models] == ["one"]
    project(loops__b=loop(name="three"))
    assert [item.model for item in compiler.compile().models] == ["one", "three"]
    (root / "loops" / "b.py").unlink()
    assert [item.model for item in compiler.compile().models] == ["one"]


def test_compiling_leaves_no_files_behind(project) -> None:
    root = project(loops__a=loop())
    compile_project(root)
    assert sorted(path.name for path in root.rglob("*")) == ["a.py", "flyball.toml", "loops"]


def test_the_loop_files_of_the_documents_compile(project) -> None:
    if "FLYBALL_TEST_DATA" not in os.environ:
        pytest.skip("FLYBALL_TEST_DATA is not set: the example loop files are not there")
    folder = Path(os.environ["FLYBALL_TEST_DATA"]) / "loops"
    root = project(**{f"loops__{path.stem}": path.read_text() for path in folder.glob("*.py")})
    compilation = compile_project(root)
    names = {item.model for item in compilation.models}
    assert names >= {"bike-demand", "credit-default", "price-direction"}
    for broken in compilation.broken:
        assert broken.file == "loops/fraud.py"
        assert [problem.fix for problem in broken.problems] == ["pip install lightgbm"]


@pytest.mark.parametrize(("ends", "how"), [("os._exit(3)", "with exit code 3"), ("os.kill(os.getpid(), 9)", "by signal 9")])
def test_a_source_that_ends_the_process_is_told_by_the_model_that_reads_it(project, ends: str, how: str) -> None:
    text = loop(head=f"import os\ndef rows():\n    {ends}").replace('source="d.csv"', "source=rows")
    said = only_problem(project(loop=text), prove="data")
    assert said.startswith('loop.py:10  Model "one"  the process that reads its data ended ' + how)
