"""A version that is served as an ONNX graph: through a real gateway and a real worker it answers, and explains, as its estimator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flyball.training import onnx_form

from .conftest import LOOP, Loans, champion

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not onnx_form.can_make(), reason="the extra onnx is not installed: its libraries come with 120 MB"),
]
ROWS = [{"amount": 100.0, "age": 60}, {"amount": 5.0, "age": 20}, {"amount": 250.5, "age": 49}]


def graphed(loans: Loans) -> tuple[str, list[float]]:
    """A packed version that answers by its graph, and the estimator's own scores of the rows."""
    from flyball.declare import codec
    from flyball.declare.code import load_model
    from flyball.features.assemble import feature_columns
    from flyball.features.fields import signature
    from flyball.training.artifact import pack
    from flyball.training.predictor import Predictor

    text = LOOP.replace("BROKEN", "False").replace("fb.Train(fit, predict=predict,", "fb.Train(fit,")
    folder = loans.root / "graphed"
    folder.mkdir()
    (folder / "loop.py").write_text(text)
    model = load_model(folder, "loop.py", "credit")
    rng = np.random.default_rng(0)
    X = pl.DataFrame({"amount": rng.uniform(0, 400, 200), "age": rng.integers(18, 99, 200)}).select(feature_columns(model))
    y = pl.Series((X["age"].to_numpy() + rng.normal(0, 10, 200) > 50).astype(int))
    loans.signature = signature(model, (0, 1))
    predictor = Predictor(model, loans.signature, model.train.fit(X, y))
    predictor.background = X[:50]
    code = loans.blobs.put(json.dumps({"loop.py": text}).encode())
    declaration = loans.blobs.put(codec.encode(model).encode())
    graph = onnx_form.graph_of(predictor.fitted, X.width)
    artifact = pack(predictor, X, loans.blobs, code=code, declaration=declaration, file="loop.py", graph=graph)
    return artifact, predictor.predict(pl.DataFrame(ROWS).select(X.columns)).score.tolist()


def test_a_worker_answers_by_the_graph_and_explains_by_the_estimator(loans: Loans, start):
    artifact, scores = graphed(loans)
    running = start(gateways=1)
    running.make(loans.route(champion(artifact)))
    answer = running.http.post("/models/credit/predict", json={"rows": ROWS})
    assert answer.status_code == 200, answer.text
    assert [each["score"] for each in answer.json()["predictions"]] == pytest.approx(scores, abs=1e-5)
    explained = running.http.post("/models/credit/explain", json={"rows": ROWS}).json()["explanations"]
    assert {each["method"] for each in explained} == {"linear"}
    assert [1 / (1 + np.exp(-each["output"])) for each in explained] == pytest.approx(scores, abs=1e-5)
    worker = next(
        each
        for each in Path("/proc").glob("[0-9]*")
        if _has(each / "cmdline", b"flyball.serving.worker") and _has(each / "cmdline", str(loans.root).encode())
    )
    assert _has(worker / "maps", b"onnxruntime"), "it is the graph that answers"


def _has(path: Path, part: bytes) -> bool:
    try:
        return part in path.read_bytes()
    except OSError:
        return False
