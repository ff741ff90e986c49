"""Labels that arrive in another data set: whose they are, when they are settled, and what silence means."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Label, Model
from flyball.errors import BadInput, DeclarationError
from flyball.features import assemble

H = 3_600_000_000
END = 10**15

payments = Dataset(
    "payments", source="p.csv", time="at", id="payment_id", columns={"amount": Column(float, known_after="-1d"), "payment_id": str}
)
disputes = Dataset(
    "disputes",
    source="d.csv",
    time="reported",
    arrived="came",
    columns={"payment_id": Column(str, nulls="100%"), "fraud": Column(bool, nulls="100%")},
)


def model(*, missing=False, source=disputes, data=payments, column="fraud"):
    label = Label(column, source=source, on="payment_id", within="10h", missing=missing)
    return Model("fraud", task="binary", data=data, label=label)


def paid(*hours):
    """Payments p0, p1, … at these hours."""
    rows = {
        "payment_id": [f"p{place}" for place in range(len(hours))],
        "amount": [float(hour) for hour in hours],
        "at": [hour * H for hour in hours],
    }
    return pl.DataFrame(rows, schema={"payment_id": pl.String, "amount": pl.Float64, "at": pl.Int64}).with_columns(
        pl.col("at").cast(pl.Datetime("us"))
    )


def reported(*rows):
    """(payment, hour, fraud, hour of arrival or None)."""
    made = pl.DataFrame(rows, schema={"payment_id": pl.String, "reported": pl.Int64, "fraud": pl.Boolean, "came": pl.Int64}, orient="row")
    return made.with_columns((pl.col("reported", "came") * H).cast(pl.Datetime("us")))


def labels(made, payments_, disputes_, as_of=END):
    got = assemble.training_rows(made, {"payments": payments_, "disputes": disputes_}, as_of=as_of)
    return dict(zip(got["__id"], got["__y"], strict=True))


def test_a_label_belongs_to_the_row_with_the_same_key():
    got = labels(
        model(), paid(1, 2, 3), reported(("p0", 5, True, None), ("p2", 6, False, None), ("p9", 6, True, None), (None, 6, True, None))
    )
    assert got == {"p0": True, "p1": False, "p2": False}


def test_a_label_counts_from_the_row_until_within_has_passed():
    rows = paid(20, 20, 20, 20)
    got = labels(model(), rows, reported(("p0", 19, True, None), ("p1", 20, True, None), ("p2", 30, True, None), ("p3", 31, True, None)))
    assert got == {"p0": False, "p1": True, "p2": True, "p3": False}


def test_silence_without_a_meaning_leaves_the_row_out():
    assert labels(model(missing=None), paid(1, 2), reported(("p1", 5, False, None))) == {"p1": False}


def test_an_empty_label_is_passed_over():
    assert labels(model(), paid(1), reported(("p0", 3, True, None), ("p0", 4, None, None))) == {"p0": True}


def test_the_newest_label_that_is_settled_counts():
    corrected = reported(("p0", 3, True, None), ("p0", 5, False, None))
    assert labels(model(), paid(1), corrected) == {"p0": False}
    assert labels(model(), paid(1), corrected[::-1]) == {"p0": False}


def test_what_arrives_after_within_changes_nothing_whenever_it_is_looked_at():
    late = reported(("p0", 3, True, 12), ("p1", 3, True, 11))
    for as_of in (11 * H, 12 * H, END):
        assert labels(model(), paid(1, 1), late, as_of=as_of) == {"p0": False, "p1": True}


def test_a_row_is_used_once_its_label_is_settled_though_it_came_sooner():
    came = reported(("p0", 2, True, None))
    assert labels(model(), paid(1, 5), came, as_of=11 * H - 1) == {}
    assert labels(model(), paid(1, 5), came, as_of=11 * H) == {"p0": True}
    assert labels(model(), paid(1, 5), came, as_of=15 * H) == {"p0": True, "p1": False}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=6),
    st.lists(
        st.tuples(st.sampled_from(["p0", "p1", "p2"]), st.integers(0, 40), st.none() | st.booleans(), st.none() | st.integers(0, 40)),
        max_size=12,
    ),
    st.integers(0, 50),
    st.sampled_from([None, False]),
)
def test_every_label_is_what_a_search_row_by_row_finds(hours, rows, as_of, missing):
    wanted = {}
    for place, hour in enumerate(hours):
        found = [
            (time, time if came is None else came, order, value)
            for order, (key, time, value, came) in enumerate(rows)
            if key == f"p{place}" and value is not None and hour <= time <= hour + 10 and max(time, came or 0) <= hour + 10
        ]
        value = max(found)[3] if found else missing
        if value is not None and hour + 10 <= as_of:
            wanted[f"p{place}"] = value
    assert labels(model(missing=missing), paid(*hours), reported(*rows), as_of=as_of * H) == wanted


def test_a_label_found_later_in_the_models_own_stream_is_never_the_row_itself():
    own = Dataset(
        "payments", source="p.csv", time="at", id="payment_id", columns={"amount": Column(float, known_after="-1d"), "payment_id": str}
    )
    made = Model("next", task="regression", data=own, label=Label("amount", source=own, on="payment_id", within="10h"), inputs=["amount"])
    rows = paid(1, 4, 20).with_columns(pl.lit("p").alias("payment_id"))
    got = assemble.training_rows(made, {"payments": rows}, as_of=END)
    assert got.select("__time", "__y").rows() == [(H, 4.0)]


def test_the_data_set_of_the_labels_must_be_there_and_have_times():
    with pytest.raises(BadInput, match='no rows of data set "disputes"'):
        assemble.training_rows(model(), {"payments": paid(1)}, as_of=END)
    timeless = Dataset("disputes", source="d.csv", columns={"payment_id": str, "fraud": bool})
    with pytest.raises(DeclarationError, match="a label from another data set needs times"):
        labels(model(source=timeless), paid(1), reported())


def test_what_silence_means_is_a_value_of_the_label():
    for wrong in ("no", 0, 0.5):
        with pytest.raises(DeclarationError, match="is no label"):
            labels(model(missing=wrong), paid(1), reported())
