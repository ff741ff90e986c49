"""A model with a field of each type and texts as classes, which says by its answers that it was asked what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from flyball.records.models import Field
from flyball.records.serving import Arm, ModelRoute, RouteTable

from .conftest import Loans, Up, champion

LOOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

loans = fb.Dataset(
    "loans", source="data/loans.csv", time="ts",
    columns={
        "amount": fb.column(float, nulls="50%"),
        "age": fb.column(int, between=(18, 99)),
        "member": fb.column(bool),
        "word": fb.column(str),
        "grade": fb.column(str, one_of=("high", "low", "näil"), known_after="1d"),
    },
)

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X["age"].to_numpy().reshape(-1, 1), y)

def predict(model, X: pl.DataFrame):
    scores = []
    for row in X.to_dicts():
        if row["word"] == "é" * 3:
            scores.append([0.0, 0.25, 0.75])
        elif row["amount"] is None or row["amount"] != row["amount"]:
            scores.append([0.0, 1.0, 0.0])
        else:
            scores.append([0.875, 0.125, 0.0] if row["member"] else [0.125, 0.875 - row["age"] / 1000, row["age"] / 1000])
    return np.array(scores)

grades = fb.Model("grades", task="multiclass", data=loans, label="grade", train=fb.Train(fit, predict=predict, window="30d", holdout="7d"), framing=fb.Framing("test"))
"""

CLASSES = ("high", "low", "näil")


class Grades(Loans):
    """A project with this model alone."""

    def grades(self) -> str:
        """A packed version."""
        from flyball.declare import codec
        from flyball.declare.code import load_model
        from flyball.features.assemble import feature_columns
        from flyball.features.fields import signature
        from flyball.training.artifact import pack
        from flyball.training.predictor import Predictor

        (self.root / "grades").mkdir()
        (self.root / "grades" / "loop.py").write_text(LOOP)
        model = load_model(self.root / "grades", "loop.py", "grades")
        rng = np.random.default_rng(0)
        given = {
            "amount": rng.uniform(0, 400, 60),
            "age": rng.integers(18, 99, 60),
            "member": rng.integers(0, 2, 60) == 1,
            "word": [f"w{one}" for one in range(60)],
        }
        X = pl.DataFrame(given).select(feature_columns(model))
        self.signature = signature(model, CLASSES)
        predictor = Predictor(model, self.signature, model.train.fit(X, pl.Series([CLASSES[row % 3] for row in range(60)])))
        code = self.blobs.put(json.dumps({"loop.py": LOOP}).encode())
        declaration = self.blobs.put(codec.encode(model).encode())
        return pack(predictor, X, self.blobs, code=code, declaration=declaration, file="loop.py")

    def fields(self) -> dict[str, Field]:
        """Those of a request."""
        return {field.name: field for field in self.signature.fields}

    def route(self, *arms: Arm, epoch: int = 1, **more: object) -> RouteTable:
        """The model's route."""
        return RouteTable(epoch=epoch, models={"grades": ModelRoute(signature=self.signature, arms=arms, **more)})


@contextmanager
def grading(root: Path) -> Iterator[Up]:
    """A gateway and a worker that serve it."""
    project = Grades(root)
    artifact = project.grades()
    up = Up(project, gateways=1)
    try:
        up.make(project.route(champion(artifact)))
        yield up
    finally:
        code, _, err = up.stop()
        assert code == 0
        assert "Traceback" not in err
