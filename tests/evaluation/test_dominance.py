"""One version dominates another where it is no worse in everything that is reported, and better in something."""

from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.dominance import dominates
from flyball.records.estimates import Estimate


def of(**values: float | None) -> dict[str, Estimate]:
    return {name: Estimate(value=value) for name, value in values.items()}


def test_better_in_one_and_no_worse_in_the_others():
    assert dominates(of(accuracy=0.8, log_loss=0.4), of(accuracy=0.8, log_loss=0.5))
    assert not dominates(of(accuracy=0.8, log_loss=0.5), of(accuracy=0.8, log_loss=0.5))
    assert not dominates(of(accuracy=0.9, log_loss=0.6), of(accuracy=0.8, log_loss=0.5))


def test_what_is_not_known_of_one_keeps_it_from_dominating_and_what_has_no_better_direction_does_not_count():
    assert not dominates(of(accuracy=0.9), of(accuracy=0.8, log_loss=0.5))
    assert not dominates(of(accuracy=0.9, log_loss=None), of(accuracy=0.8, log_loss=0.5))
    assert dominates(of(accuracy=0.9, positive_rate=0.1), of(accuracy=0.8, positive_rate=0.3))
    assert dominates(of(accuracy=0.9), of(accuracy=0.8, log_loss=None))


@given(
    st.dictionaries(st.sampled_from(["accuracy", "log_loss", "roc_auc", "brier"]), st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1)
)
def test_never_both_ways(values: dict[str, tuple[float, float]]):
    one, other = of(**{name: pair[0] for name, pair in values.items()}), of(**{name: pair[1] for name, pair in values.items()})
    assert not (dominates(one, other) and dominates(other, one))
