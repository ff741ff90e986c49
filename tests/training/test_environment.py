"""What a run is made with is recorded, and what differs is named."""

from __future__ import annotations

import importlib.metadata
import platform

import msgspec
import pytest

from flyball.records import codec
from flyball.records.training import MAKING, RunResult
from flyball.training import lock
from flyball.training.artifact import manifest_of
from flyball.training.environment import differences, environment, libraries
from flyball.training.finishing import finished
from flyball.training.reproducing import compared, told
from flyball.training.run import execute

OTHER = {"scikit-learn": "0.1.0", "no-such-library": "2.0"}


def test_what_the_code_imports_is_recorded_wherever_it_does_and_nothing_of_its_own():
    snapshot = {
        "loops/a.py": "import sqlalchemy.orm as orm\nimport json\nimport helpers\nfrom . import b\nimport flyball as fb\n",
        "loops/b.py": "def f():\n    from hypothesis import given\n",
        "helpers.py": "import loops.b\nimport not_installed_anywhere",
        "broken.py": "import (",
        "data.txt": "import pytest",
    }
    found = libraries(snapshot)
    assert {"numpy", "polars", "scikit-learn", "scipy", "skops", "sqlalchemy", "hypothesis"} <= {name.lower() for name in found}
    assert not {"pytest", "flyball", "json", "helpers", "not_installed_anywhere"} & set(found)
    assert found["numpy"] == importlib.metadata.version("numpy")


def test_an_environment_names_processor_python_threads_and_all_that_is_installed(price):
    here = environment({}, price.blobs)
    assert here.python == platform.python_version()
    assert here.processor
    assert here.processors >= 1
    assert here.threads["OMP_NUM_THREADS"] == "1"
    lines = price.blobs.get(here.lock).decode().splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in lines
    assert lines == sorted(lines)
    assert "flyball" in here.libraries


@pytest.fixture
def made(price) -> RunResult:
    return execute(price.spec(), price.model, price.frames, price.blobs)


def test_an_artifact_of_this_environment_differs_in_nothing_and_another_in_what_is_named(price, made):
    manifest = manifest_of(made.artifact, price.blobs)
    assert differences(manifest) == ()
    other = msgspec.structs.replace(manifest, python="2.7", libraries=manifest.libraries | OTHER)
    sklearn = importlib.metadata.version("scikit-learn")
    python = ".".join(platform.python_version_tuple()[:2])
    assert differences(other) == (
        "no-such-library 2.0 → not installed",
        f"python 2.7 → {python}",
        f"scikit-learn 0.1.0 → {sklearn}",
    )


def test_a_run_whose_libraries_are_not_the_champions_says_so(price, made):
    manifest = manifest_of(made.artifact, price.blobs)
    older = price.blobs.put(codec.encode(msgspec.structs.replace(manifest, libraries=manifest.libraries | OTHER)))
    spec = price.spec(champion=older, champion_version="1.2.0")
    notes = finished(made, spec, {}, price.blobs).notes
    assert notes[-1].startswith(
        "this run has another environment than the champion 1.2.0: no-such-library 2.0 → not installed, scikit-learn 0.1.0 →"
    )
    same = price.spec(champion=made.artifact, champion_version="1.2.0")
    assert finished(made, same, {}, price.blobs).notes == made.notes


def again(price, before: RunResult, now: RunResult, present=None, making=MAKING):
    expected = price.blobs.put(codec.encode(before))
    spec = price.spec(reproduces="run_1", expected=expected, making=making)
    return compared(spec, now, environment({}, price.blobs), present or {}, price.blobs)


def test_the_same_artifact_is_the_same_whatever_else_is_new(price, made):
    elsewhere = msgspec.structs.replace(environment({}, price.blobs), processor="another")
    found = again(price, msgspec.structs.replace(made, environment=elsewhere), made)
    assert (found.same, found.differs) == (True, ())
    assert told(found) == f"the same artifact hash as run_1: {made.artifact[:12]}"


def test_every_input_that_is_not_what_it_was_is_named(price, made):
    here = environment({}, price.blobs)
    was = msgspec.structs.replace(
        here, python="3.0.1", processor="a slide rule", threads={"OMP_NUM_THREADS": "8"}, libraries=here.libraries | {"scipy": "0.1"}
    )
    before = msgspec.structs.replace(made, artifact="0" * 64, environment=was)
    found = again(price, before, made, {"market": "1" * 64})
    assert not found.same
    assert found.learned_same, "only the packing differs"
    assert [each.split(" → ")[0] for each in found.differs] == [
        "python 3.0.1",
        "scipy 0.1",
        "processor: a slide rule",
        "caps on threads: OMP_NUM_THREADS=8",
        'rows of data set "market" were erased since',
    ]
    assert told(found).startswith(
        f"not the artifact of run_1: {made.artifact[:12]}, was 000000000000 (what was learned is the same): python 3.0.1"
    )


def test_a_run_that_an_earlier_flyball_made_otherwise_is_not_said_to_be_of_a_fit_that_is_not_deterministic(price, made):
    before = msgspec.structs.replace(made, artifact="0" * 64, environment=environment({}, price.blobs))
    [why] = again(price, before, made, making=0).differs
    assert why.startswith("it was made by an earlier flyball, which judged trials")
    assert again(price, before, made).differs == ("fit is not deterministic: every input that is recorded is what it was",)


def test_a_run_from_before_environments_were_recorded_is_compared_by_its_manifest(price, made):
    manifest = manifest_of(made.artifact, price.blobs)
    older = price.blobs.put(codec.encode(msgspec.structs.replace(manifest, libraries=manifest.libraries | OTHER)))
    before = msgspec.structs.replace(made, artifact=older, environment=None, fit_digest="")
    found = again(price, before, made)
    assert [each.split(" ")[0] for each in found.differs] == ["no-such-library", "scikit-learn"]
    assert not found.learned_same


def test_a_distribution_of_the_lock_that_is_another_one_is_named_and_not_taken_for_chance(price, made):
    manifest = manifest_of(made.artifact, price.blobs)
    text = price.blobs.get(manifest.lock).decode()
    line = next(line for line in text.splitlines() if line.startswith("rich=="))
    other = price.blobs.put(text.replace(line, "rich==1.0.0").encode())
    older = price.blobs.put(codec.encode(msgspec.structs.replace(manifest, lock=other)))
    found = again(price, msgspec.structs.replace(made, artifact=older), made)
    assert found.differs == (f"rich of the lock: 1.0.0 → {line.partition('==')[2]}",)


def packed_as(price, made: RunResult, served: str, **pins: str) -> RunResult:
    """`made` in another form, whose lock has those distributions more."""
    manifest = manifest_of(made.artifact, price.blobs)
    text = price.blobs.get(manifest.lock).decode() + "".join(f"{name}=={version}\n" for name, version in pins.items())
    as_form = msgspec.structs.replace(manifest, served=served, lock=price.blobs.put(text.encode()))
    return msgspec.structs.replace(made, artifact=price.blobs.put(codec.encode(as_form)))


@pytest.mark.parametrize("forms", [("onnx", "skops"), ("skops", "onnx")])
def test_what_another_form_needs_is_no_input_that_differs(price, made, forms):
    there = importlib.metadata.version("onnxruntime")
    results = {"onnx": packed_as(price, made, "onnx", onnxruntime=there), "skops": packed_as(price, made, "skops")}
    found = again(price, results[forms[0]], results[forms[1]])
    assert found.differs == ("fit is not deterministic: every input that is recorded is what it was",)


def test_what_the_earlier_form_needed_and_is_another_here_is_named(price, made):
    there = importlib.metadata.version("onnxruntime")
    before = packed_as(price, made, "onnx", onnxruntime="0.1.0", gone="2.0")
    found = again(price, before, packed_as(price, made, "skops"))
    assert found.differs == ("gone of the lock: 2.0 → none", f"onnxruntime of the lock: 0.1.0 → {there}")


def test_what_made_the_graph_and_is_another_here_is_named(price, made):
    here = environment({}, price.blobs)
    text = price.blobs.get(here.lock).decode()
    [line] = (line for line in text.splitlines() if line.startswith("skl2onnx=="))
    older = msgspec.structs.replace(here, lock=price.blobs.put(text.replace(line, "skl2onnx==1.0").encode()))
    before = msgspec.structs.replace(packed_as(price, made, "onnx"), environment=older)
    assert again(price, before, packed_as(price, made, "onnx", more="1.0")).differs == (
        "more of the lock: none → 1.0",
        f"skl2onnx of the lock: 1.0 → {line.partition('==')[2]}",
    )
    assert again(price, before, made).differs == (f"skl2onnx of the lock: 1.0 → {line.partition('==')[2]}",)


def test_where_a_maker_of_graphs_was_installed_from_is_no_difference(price, made, monkeypatch):
    pinned = {name: each._replace(found=FromFolder()) if name == "skl2onnx" else each for name, each in lock._installed().items()}
    monkeypatch.setattr(lock, "_installed", lambda: pinned)
    before = msgspec.structs.replace(packed_as(price, made, "onnx"), environment=environment({}, price.blobs))
    assert again(price, before, made).differs == ("fit is not deterministic: every input that is recorded is what it was",)


class FromFolder:
    """A distribution that was installed from a folder."""

    def read_text(self, name: str) -> str:
        assert name == "direct_url.json"
        return '{"url": "file:///somewhere"}'


def test_a_version_that_an_earlier_flyball_packed_is_said_to_be_packed_otherwise(price, made):
    manifest = manifest_of(made.artifact, price.blobs)
    files = {name: digest for name, digest in manifest.files.items() if name != "background.parquet"}
    older = price.blobs.put(codec.encode(msgspec.structs.replace(manifest, lock="", files=files)))
    found = again(price, msgspec.structs.replace(made, artifact=older), made)
    assert found.differs == ("it was packed by an earlier flyball, without a lock, background.parquet",)
    assert found.learned_same
