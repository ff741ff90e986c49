"""The peer's side of the join, run by the Python of an environment in which Feast is installed: `feast_peer.py FOLDER`.

FOLDER holds `asked.parquet` and a Parquet file for each view. Writes `found.parquet` there and prints CPU seconds of the retrieval.
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

VIEWS = ("customer", "merchant", "device")
COLUMNS = tuple(f"x{place}" for place in range(5))


def main(folder: Path) -> None:
    config = RepoConfig(
        project="peer",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "duckdb"},
        online_store=None,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    made = []
    for name in VIEWS:
        entity = Entity(name=name, join_keys=[name], value_type=ValueType.INT64)
        source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event", created_timestamp_column="arrived")
        schema = [Field(name=f"{name}_{column}", dtype=Float64) for column in COLUMNS]
        made += [
            entity,
            FeatureView(name=f"{name}s", entities=[entity], ttl=timedelta(days=30), schema=schema, source=source, online=False),
        ]
    store.apply(made)
    asked = pd.read_parquet(folder / "asked.parquet")
    wanted = [f"{name}s:{name}_{column}" for name in VIEWS for column in COLUMNS]
    start = time.process_time()
    found = store.get_historical_features(entity_df=asked, features=wanted).to_df()
    print(time.process_time() - start, flush=True)
    found.to_parquet(folder / "found.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
