"""Artifacts come back as they were, or not at all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from flyball.errors import BadInput, Corrupt, Refused
from flyball.records import codec
from flyball.training import artifact, estimators
from flyball.training.run import perform

X = np.column_stack([np.arange(200) % 2, np.random.default_rng(0).random((200, 2))])
Y = (X[:, 0] > 0.5).astype(int)


class Home:
    """A class of the user's own."""


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        RandomForestRegressor(3, random_state=0),
        make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5, random_state=0, categorical_features=[0]),
        LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_is_read_back_and_equal_ones_have_equal_bytes(estimator):
    data = estimators.dumps(estimator.fit(np.abs(X), Y))
    assert data == estimators.dumps(estimator.fit(np.abs(X), Y))
    assert np.array_equal(estimators.loads(data).predict(X), estimator.predict(X))


def test_bytes_that_an_estimator_holds_are_stored_under_the_same_name_each_time():
    estimator = LogisticRegression().fit(X, Y)
    estimator.first_, estimator.second_ = b"as a booster", bytearray(b"holds its trees")
    data = estimators.dumps(estimator)
    assert data == estimators.dumps(estimator)
    assert (estimators.loads(data).first_, estimators.loads(data).second_) == (b"as a booster", bytearray(b"holds its trees"))


@pytest.mark.parametrize(
    "bad", [Home(), make_pipeline(FunctionTransformer(np.testing.assert_equal)), lambda X: X], ids=["class", "function", "lambda"]
)
def test_what_could_run_code_when_read_is_refused_by_name(bad):
    with pytest.raises(Refused, match=r"holds .*(Home|assert_equal|lambda)"):
        estimators.dumps(bad)


def test_a_crafted_estimator_is_refused_before_it_is_built():
    data = estimators.dumps(LogisticRegression().fit(X, Y))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    schema["__module__"], schema["__class__"] = "subprocess", "Popen"
    files["schema.json"] = json.dumps(schema).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(Refused, match=r"subprocess\.Popen"):
        estimators.loads(out.getvalue())


def test_bytes_that_are_no_estimator_are_corrupt():
    with pytest.raises(Corrupt):
        estimators.loads(b"nothing of the kind")


@pytest.fixture
def made(price):
    return perform(price.spec(), price.model, price.frames, price.blobs)


def test_a_loaded_version_answers_as_the_fitted_one(price, made, tmp_path: Path):
    loaded = artifact.load(made.result.artifact, price.blobs, tmp_path / "scratch")
    rows = loaded.golden.drop(artifact.VALUE, artifact.SCORE)
    assert rows.height == artifact.GOLDEN_ROWS
    assert np.array_equal(loaded.predict(rows).value, made.predictor.predict(rows).value)
    assert np.allclose(loaded.predict(rows).score, made.predictor.predict(rows).score)
    assert artifact.manifest_of(made.result.artifact, price.blobs).signature == made.result.signature
    assert loaded.model.train.fit is not price.model.train.fit, "the code is the snapshot's own"


def test_packing_the_same_twice_gives_the_same_artifact(price, made):
    again = perform(price.spec(), price.model, price.frames, price.blobs)
    assert again.result.artifact == made.result.artifact


def test_a_model_that_answers_its_golden_rows_otherwise_does_not_load(price, made, tmp_path: Path):
    manifest = artifact.manifest_of(made.result.artifact, price.blobs)
    golden = pl.read_parquet(io.BytesIO(price.blobs.get(manifest.files["golden.parquet"])))
    buffer = io.BytesIO()
    golden.with_columns(pl.col(artifact.SCORE) + pl.when(pl.int_range(pl.len()) == 3).then(0.01).otherwise(0.0)).write_parquet(buffer)
    changed = codec.plain(manifest) | {"files": manifest.files | {"golden.parquet": price.blobs.put(buffer.getvalue())}}
    other = price.blobs.put(json.dumps(changed).encode())
    with pytest.raises(Corrupt, match="golden row 3"):
        artifact.load(other, price.blobs, tmp_path / "scratch")


def test_a_version_whose_floats_once_counted_as_classes_loads_for_no_score_of_it_was_kept(price, made, tmp_path: Path):
    manifest = artifact.manifest_of(made.result.artifact, price.blobs)
    golden = pl.read_parquet(io.BytesIO(price.blobs.get(manifest.files["golden.parquet"])))
    for value, loads in ((pl.col(artifact.VALUE), True), (1 - pl.col(artifact.VALUE), False)):
        buffer = io.BytesIO()
        golden.with_columns(value.alias(artifact.VALUE), pl.lit(None, pl.Float64).alias(artifact.SCORE)).write_parquet(buffer)
        changed = codec.plain(manifest) | {"files": manifest.files | {"golden.parquet": price.blobs.put(buffer.getvalue())}}
        other = price.blobs.put(json.dumps(changed).encode())
        if loads:
            assert artifact.load(other, price.blobs, tmp_path / "scratch").artifact == other
        else:
            with pytest.raises(Corrupt, match="golden row 0"):
                artifact.load(other, price.blobs, tmp_path / "scratch")


def test_a_damaged_file_is_named(price, made, tmp_path: Path):
    path = price.blobs.path(artifact.manifest_of(made.result.artifact, price.blobs).files["model.skops"])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="is damaged"):
        artifact.verify(made.result.artifact, price.blobs)
    with pytest.raises(Corrupt, match="is damaged"):
        artifact.load(made.result.artifact, price.blobs, tmp_path / "scratch")


def test_a_code_snapshot_cannot_leave_its_folder(price, tmp_path: Path):
    code = price.blobs.put(json.dumps({"../../evil.py": "x = 1"}).encode())
    with pytest.raises(Corrupt, match="names"):
        artifact.unpack_code(code, price.blobs, tmp_path / "scratch")
    assert not list(tmp_path.glob("**/evil.py"))


def test_code_that_cannot_be_unpacked_leaves_no_part_of_itself(price, tmp_path: Path):
    code = price.blobs.put(json.dumps({"a.py": "", "a.py/b.py": ""}).encode())
    with pytest.raises(OSError, match=r"a\.py"):
        artifact.unpack_code(code, price.blobs, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


def test_code_is_unpacked_once(price, tmp_path: Path):
    first = artifact.unpack_code(price.code, price.blobs, tmp_path)
    assert artifact.unpack_code(price.code, price.blobs, tmp_path) == first
    assert (first / price.file).read_text() == (price.root / price.file).read_text()


def test_a_manifest_of_a_later_format_says_so(price, made):
    manifest = codec.plain(artifact.manifest_of(made.result.artifact, price.blobs)) | {"format": 2}
    with pytest.raises(Corrupt, match="format 2"):
        artifact.manifest_of(price.blobs.put(json.dumps(manifest).encode()), price.blobs)


def test_what_is_no_manifest_is_corrupt(price):
    with pytest.raises(Corrupt, match="no manifest"):
        artifact.manifest_of(price.blobs.put(b"{}"), price.blobs)


OWN = """
import json
import flyball as fb
import polars as pl

rows = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-1d"), "price": float, "up": fb.column(int, one_of=(0, 1))})

class Rule:
    def __init__(self, at):
        self.at = at

def fit(X: pl.DataFrame, y: pl.Series):
    return Rule(12)

def predict(model, X: pl.DataFrame):
    return (X["hour"] < model.at).cast(pl.Int64)

def save(model, folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "rule.json").write_text(json.dumps(model.at))

def load(folder):
    return Rule(json.loads((folder / "deep" / "rule.json").read_text()))

own = fb.Model("own", task="binary", data=rows, label="up",
    train=fb.Train(fit, predict=predict, save=save, load=load, window="28d", holdout="7d"), gates=[])
"""


def test_any_object_is_a_model_with_its_own_predict_save_and_load(project, tmp_path: Path):
    own = project(OWN, "own")
    made = perform(own.spec(), own.model, own.frames, own.blobs)
    loaded = artifact.load(made.result.artifact, own.blobs, tmp_path / "scratch")
    answers = loaded.predict(pl.DataFrame({"hour": [3, 20]}))
    assert answers.value.tolist() == [1, 0]
    assert answers.score is None


def test_an_object_of_the_user_s_own_without_save_is_refused_with_the_way_out(project):
    own = project(OWN.replace("save=save, load=load, ", ""), "own")
    with pytest.raises(Refused, match="Rule") as refused:
        perform(own.spec(), own.model, own.frames, own.blobs)
    assert "save=" in refused.value.fix


def test_a_save_that_writes_nothing_is_told_so(project):
    own = project(
        OWN.replace('    (folder / "deep").mkdir()\n    (folder / "deep" / "rule.json").write_text(json.dumps(model.at))', "    pass"),
        "own",
    )
    with pytest.raises(BadInput, match="wrote no file"):
        perform(own.spec(), own.model, own.frames, own.blobs)


def test_reading_an_estimator_imports_no_more_of_scikit_learn_than_it_needs():
    """skops makes a list of every estimator there is; a worker would pay for it at each start."""
    script = """
import sys
from flyball.training import estimators
from sklearn.linear_model import LogisticRegression
model = estimators.loads(estimators.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1])))
assert model.predict([[2.0]])[0] == 1
print("sklearn.neural_network" in sys.modules)
import sklearn.utils
print(len(sklearn.utils.all_estimators()) > 100)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]
