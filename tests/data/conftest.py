"""A small data set on disk."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.store.blobs import LocalBlobs

CSV = "at,id,price,count,open,kind,extra\n2026-01-01T00:00:00,a,0.5,1,true,x,?\n2026-01-01T01:00:00,b,0.25,2,false,y,?\n2026-01-01T02:00:00,c,,3,true,x,?\n"


@pytest.fixture
def root(tmp_path):
    """A project folder."""
    return tmp_path


@pytest.fixture
def blobs(tmp_path):
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def dataset():
    return Dataset(
        "prices",
        source="prices.csv",
        time="at",
        id="id",
        columns={
            "price": Column(float, between=(0, 1), nulls="50%"),
            "count": int,
            "open": bool,
            "kind": Column(str, one_of=("x", "y")),
        },
    )


@pytest.fixture
def write(root):
    """Write text, bytes or a frame to a file of the project."""

    def written(content, name="prices.csv"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8", newline="")
        return path

    return written


@pytest.fixture
def csv():
    return CSV
