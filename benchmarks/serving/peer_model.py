"""The peers' model, made by the Python of an environment in which one of them is installed: `peer_model.py FOLDER [mlflow]`.

FOLDER holds `model.json` with the numbers of a logistic regression. Writes `model.joblib` there, for MLflow the folder `mlflow` as well.
"""

import json
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression


def made(folder: Path) -> LogisticRegression:
    told = json.loads((folder / "model.json").read_text())
    width = len(told["coef"])
    rows = np.random.default_rng(0).normal(size=(64, width))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    model.coef_, model.intercept_, model.classes_ = np.array([told["coef"]]), np.array([told["intercept"]]), np.array([0, 1])
    return model


def main(folder: Path, *, mlflow: bool) -> None:
    model = made(folder)
    joblib.dump(model, folder / "model.joblib")
    if mlflow:
        from mlflow.sklearn import save_model

        save_model(model, str(folder / "mlflow"), pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")


if __name__ == "__main__":
    main(Path(sys.argv[1]), mlflow="mlflow" in sys.argv[2:])
