"""A row's lot: the same wherever the row lies, for equal rows and equal ids, and evenly drawn."""

import numpy as np
import polars as pl

import flyball as fb
from flyball.features.lots import lots


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    raise NotImplementedError


def model(split: str = "stratified", *, group: str = "", key: str = "", columns: dict | None = None) -> fb.Model:
    data = fb.Dataset(
        "people", source="x.csv", id=key, columns=columns or {"age": float, "town": str, "who": str, "rich": fb.column(int, one_of=(0, 1))}
    )
    return fb.Model("m", task="binary", data=data, label="rich", group=group, train=fb.Train(fit, split=split), framing=fb.Framing("test"))


def people(n: int = 5_000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": rng.normal(40, 12, n),
            "town": rng.choice(["Ulm", "Cádiz", "Bø"], n),
            "who": [f"p{place % 800}" for place in range(n)],
            "rich": rng.integers(0, 2, n),
        }
    )


def test_lots_are_drawn_evenly():
    found = lots(model(), people(20_000)).to_numpy()
    assert found.min() >= 0
    assert found.max() < 1
    counted = np.histogram(found, bins=10, range=(0, 1))[0]
    assert np.all(np.abs(counted - 2_000) < 5 * np.sqrt(2_000))


def test_a_row_keeps_its_lot_wherever_it_lies_and_whatever_comes_beside_it():
    rows = people()
    mixed = pl.concat([people(500, seed=9), rows.reverse()])
    assert lots(model(), mixed)[500:].reverse().to_list() == lots(model(), rows).to_list()


def test_the_lot_of_a_known_row_is_known_forever():
    one = pl.DataFrame({"age": [40.0], "town": ["Ulm"], "who": ["p1"], "rich": [1]})
    assert lots(model(), one)[0] == 0.8527272728438581


def test_a_corrected_label_and_another_order_of_columns_move_no_row():
    rows = people()
    other = model(columns={"rich": fb.column(int, one_of=(0, 1)), "who": str, "town": str, "age": float})
    assert lots(other, rows.with_columns(rich=1 - pl.col("rich"))).to_list() == lots(model(), rows).to_list()


def test_equal_rows_have_one_lot_and_equal_numbers_count_alike_whatever_their_type():
    rows = people().with_columns(pl.col("age").round())
    assert lots(model(), rows.with_columns(pl.col("age").cast(pl.Int64))).to_list() == lots(model(), rows).to_list()


def test_a_group_has_one_lot_and_an_id_has_its_own():
    rows = people()
    grouped = rows.with_columns(lots(model("group", group="who"), rows))
    assert grouped.group_by("who").agg(pl.col("__lot").n_unique())["__lot"].to_list() == [1] * 800
    by_id = rows.with_columns(lots(model(key="who"), rows))
    assert by_id.group_by("who").agg(pl.col("__lot").n_unique())["__lot"].to_list() == [1] * 800


def test_nulls_are_a_value_of_their_own():
    rows = people(4).with_columns(town=pl.lit(None, pl.String), age=pl.lit(None, pl.Float64), who=pl.lit("a"))
    assert len(set(lots(model(), rows).to_list())) == 1
