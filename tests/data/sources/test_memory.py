"""A file is read in memory of its parts, not of its size."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import polars as pl
import pytest

PROGRAM = """
    import resource, sys
    from pathlib import Path
    from flyball.data import source
    from flyball.declare.data import Dataset

    def read(name):
        made = Dataset("d", source=name, time="at", columns={"n": int, "x": float, "text": str})
        rows = sum(batch.height for batch in source.stream(made, Path(sys.argv[1])))
        return rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    kind = sys.argv[2]
    _, before = read(f"small.{kind}")
    rows, after = read(f"large.{kind}")
    print(rows, after - before)
"""


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_large_file_takes_little_more_memory_than_one_of_a_few_batches(root, kind):
    def frame(rows):
        number = pl.int_range(rows, eager=True)
        return pl.DataFrame(
            {"at": (number * 1_000_000).cast(pl.Datetime("us")), "n": number, "x": number / 7, "text": number.cast(pl.String) + "x" * 150}
        )

    for name, rows in (("small", 200_000), ("large", 1_200_000)):
        made = frame(rows)
        if kind == "csv":
            made.write_csv(root / f"{name}.csv", datetime_format="%Y-%m-%dT%H:%M:%S")
        elif kind == "jsonl":
            made.write_ndjson(root / f"{name}.jsonl")
        else:
            made.write_parquet(root / f"{name}.parquet", compression="uncompressed", row_group_size=100_000)
    assert (root / f"large.{kind}").stat().st_size > 200e6
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(PROGRAM), root, kind], capture_output=True, text=True, check=True)
    rows, added = ran.stdout.split()
    assert int(rows) == 1_200_000
    assert float(added) < 100, "MB for 200 MB more of file"
