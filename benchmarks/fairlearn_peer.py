"""The peer's side of slice metrics, run by the Python of an environment in which fairlearn is installed: `fairlearn_peer.py FOLDER`.

FOLDER holds `rows.parquet`. Writes `found.json` (column → value → metric → value) there and prints CPU seconds.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

METRICS = {
    "accuracy": accuracy_score,
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
    "positive_rate": selection_rate,
}


def main(folder: Path) -> None:
    rows = pd.read_parquet(folder / "rows.parquet")
    columns = [name for name in rows.columns if name not in ("y", "value", "score")]
    found = {}
    start = time.process_time()
    for column in columns:
        frame = MetricFrame(metrics=METRICS, y_true=rows["y"], y_pred=rows["value"], sensitive_features=rows[column])
        found[column] = {str(value): {name: float(each) for name, each in row.items()} for value, row in frame.by_group.iterrows()}
    print(time.process_time() - start, flush=True)
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
