"""What an expression reads, and what it may not do: told by how it is built, whatever the names and values in it say."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.declare.functions import obstacle, roots

WORDS = ("Window", "Over", "Rolling", "Agg", "Selector", "Column", "AnonymousFunction", "Literal")


@pytest.mark.parametrize("word", WORDS)
def test_a_column_and_a_value_may_be_called_as_a_part_of_an_expression_is(word: str) -> None:
    named = pl.col(word) + 1
    assert (roots(named), obstacle(named)) == ((word,), "")
    valued = pl.when(pl.col("seat") == word).then(1).otherwise(pl.col("seat").is_in([word, "x"]).cast(int))
    assert (roots(valued), obstacle(valued)) == (("seat",), "")
    given = pl.col("seat").alias(word)
    assert (roots(given), obstacle(given)) == (("seat",), "")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (pl.col("a").over("b"), "other rows"),
        (pl.col("a") - pl.col("a").mean(), "other rows"),
        (pl.col("a").rolling("t", period="1h"), "other rows"),
        (pl.all() + 1, "by a pattern"),
        (pl.struct("*"), "by a pattern"),
        (pl.col("^a.*$"), "by a pattern"),
        (pl.nth(0), "by a pattern"),
        (pl.col("a").map_elements(abs, return_dtype=pl.Float64), "Python function"),
    ],
)
def test_what_reads_more_than_it_names_is_refused(expression: pl.Expr, expected: str) -> None:
    assert expected in obstacle(expression)


def test_every_column_is_found_however_deep_it_stands() -> None:
    deep = pl.when(pl.col("a").is_in(pl.col("b"))).then(pl.concat_str("c", pl.col("d").str.slice(0, pl.col("e")))).otherwise("f")
    assert set(roots(deep)) == {"a", "b", "c", "d", "e", "f"} == set(deep.meta.root_names())
