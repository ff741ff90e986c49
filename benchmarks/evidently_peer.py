"""The peer's side of the drift report, run by the Python of an environment in which Evidently is installed: `evidently_peer.py FOLDER`.

FOLDER holds `reference.parquet` and `window.parquet`. Writes `found.json` (column → its PSI) there and prints CPU seconds.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift


def main(folder: Path) -> None:
    reference, window = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "window"))
    texts = [name for name in reference.columns if reference[name].dtype == object]
    definition = DataDefinition(numerical_columns=[name for name in reference.columns if name not in texts], categorical_columns=texts)
    start = time.process_time()
    ours, theirs = (Dataset.from_pandas(frame, data_definition=definition) for frame in (window, reference))
    made = Report([ValueDrift(column=name, method="psi") for name in reference.columns]).run(ours, theirs)
    found = {each["config"]["column"]: float(each["value"]) for each in made.dict()["metrics"]}
    print(time.process_time() - start, flush=True)
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
