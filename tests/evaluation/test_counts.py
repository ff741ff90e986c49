"""Rows and labels become the same sums however time is cut and in whatever form they come."""

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.evaluation.reference import reference
from flyball.records.evidence import Watch
from flyball.stats import binned

S = 1_000_000
DELAY = Span(10 * S)
NONE = pl.DataFrame()


def watch(**fields):
    return Watch(**({"model": "m", "task": "binary", "label_delay": DELAY, "slices": ("day",)} | fields))


def rows(*, ids, at, version="1.0.0", role="champion", rollout="", weight=0, key=None, status="ok", latency=1000, value=1.0, **more):
    n = len(ids)

    def column(given, dtype=None):
        return pl.Series(given if isinstance(given, list) else [given] * n, dtype=dtype)

    return pl.DataFrame(
        {
            "request_id": ids,
            "at": column(at, pl.Int64),
            "version": column(version),
            "role": column(role),
            "rollout": column(rollout),
            "weight": column(weight),
            "key": column(key, pl.String),
            "status": column(status),
            "latency_us": column(latency, pl.Int64),
            "value": column(value),
            "day": column(more.pop("day", 1)),
            **{name: column(values) for name, values in more.items()},
        }
    )


def labels(ids, at, value):
    n = len(ids)
    return pl.DataFrame(
        {"request_id": ids, "at": at if isinstance(at, list) else [at] * n, "value": value if isinstance(value, list) else [value] * n}
    )


def total(batches, name, *fields):
    return sum(sum(getattr(one, field) for field in fields) for batch in batches for one in getattr(batch, name))


def whole(batch):
    return [one for one in batch.quality if not one.slice]


def test_traffic_counts_at_once_and_quality_when_the_row_has_matured():
    folder = Folder(watch())
    folder.add(rows(ids=["a", "b"], at=0, value=[1.0, 0.0], latency=[1000, 2000]), labels(["a", "b"], 5 * S, 1))
    first = folder.take(1 * S)
    assert [(one.n, one.errors, one.latency) for one in first.traffic] == [(2, 0, {79: 1, 87: 1})]
    assert first.quality == ()
    assert folder.take(9 * S).quality == ()
    (quality,) = whole(folder.take(10 * S))
    assert (quality.matured, quality.labelled, quality.correct, quality.tp, quality.fn) == (2, 2, 1, 1, 1)
    assert folder.take(100 * S).quality == ()


def test_a_label_counts_only_if_it_was_known_when_the_row_matured():
    folder = Folder(watch())
    folder.add(rows(ids=["a", "b", "c"], at=0), labels(["a", "b"], [10 * S, 10 * S + 1], 1))
    (quality,) = whole(folder.take(20 * S))
    assert (quality.matured, quality.labelled) == (3, 1)


def test_a_corrected_label_counts_as_it_was_known_in_time():
    for cuts in ([30 * S], [1 * S, 4 * S, 10 * S, 30 * S]):
        folder = Folder(watch())
        folder.add(rows(ids=["a"], at=0, value=0.0), labels(["a", "a", "a"], [2 * S, 5 * S, 12 * S], [1, 0, 1]))
        batches = [folder.take(cut) for cut in cuts]
        assert total(batches, "quality", "tn") == 2, "whole and slice"
        assert (folder.labels.corrected, folder.labels.late, folder.labels.duplicates) == (1, 1, 0)


def test_labels_of_nobody_are_counted_and_forgotten():
    folder = Folder(watch())
    folder.add(rows(ids=["a"], at=0), labels(["a", "stranger"], 1 * S, 1))
    folder.take(11 * S)
    folder.take(12 * S)
    assert folder.labels.unmatched == 1
    assert folder.labels.waiting == 0


def test_losses_come_in_order_of_maturity_in_blocks_of_sixteen_of_the_champion_only():
    n = 40
    ids = [f"r{k:02}" for k in range(n)]
    folder = Folder(watch())
    wrong = [float(k % 3 == 0) for k in range(n)]
    order = np.random.default_rng(1).permutation(n)
    frame = rows(ids=ids, at=[k * 1000 for k in range(n)], value=wrong)[order.tolist()]
    folder.add(pl.concat([frame, frame.with_columns(version=pl.lit("1.1.0"), role=pl.lit("shadow"))]), labels(ids, 2 * S, 0))
    batch = folder.take(60 * S)
    assert [len(one.losses) for one in batch.blocks] == [16, 16, 8]
    assert [loss for one in batch.blocks for loss in one.losses] == wrong
    assert {one.version for one in batch.blocks} == {"1.0.0"}


def test_pairs_compare_two_versions_on_the_same_request_by_slice():
    ids = ["a", "b", "c", "d"]
    old = rows(ids=ids, at=0, rollout="ro", value=[1.0, 1.0, 0.0, 0.0], day=[1, 1, 1, 2])
    new = rows(ids=ids, at=0, rollout="ro", value=[1.0, 0.0, 1.0, 1.0], day=[1, 1, 1, 2], version="1.1.0", role="shadow")
    folder = Folder(watch())
    folder.add(pl.concat([old, new]), labels(ids, 1 * S, 1))
    pairs = {one.counts.slice: one.counts for one in folder.take(30 * S).pairs}
    assert (pairs[""].minus, pairs[""].zero, pairs[""].plus, pairs[""].old_loss) == (1, 1, 2, 2)
    assert (pairs["day=2"].minus, pairs["day=2"].zero, pairs["day=2"].plus) == (0, 0, 1)


@pytest.mark.parametrize(
    ("old_role", "new_role"), [("champion", "shadow"), ("champion", "challenger"), ("former", "champion"), ("shadow", "challenger")]
)
def test_new_and_old_are_told_apart_in_every_phase(old_role, new_role):
    arms = {"ro": ("1.1.0", "1.0.0")}
    folder = Folder(watch(arms=arms))
    old = rows(ids=["a"], at=0, rollout="ro", value=0.0, role=old_role)
    new = rows(ids=["a"], at=0, rollout="ro", value=1.0, role=new_role, version="1.1.0")
    folder.add(pl.concat([new, old]), labels(["a"], 1, 1))
    (pair, _) = folder.take(30 * S).pairs
    assert (pair.new, pair.old, pair.counts.plus) == ("1.1.0", "1.0.0", 1)


def test_a_loss_in_units_enters_as_a_fraction_of_a_pair():
    folder = Folder(watch(task="regression", loss="absolute", loss_cap=10.0, slices=()))
    old = rows(ids=["a", "b"], at=0, rollout="ro", value=[5.0, 50.0])
    new = rows(ids=["a", "b"], at=0, rollout="ro", value=[2.0, 0.0], version="1.1.0", role="shadow")
    folder.add(pl.concat([old, new]), labels(["a", "b"], 1, [0.0, 0.0]))
    batch = folder.take(30 * S)
    counts = batch.pairs[0].counts
    assert (counts.minus, counts.zero, counts.plus, counts.old_loss) == pytest.approx((0, 0.7, 1.3, 1.5))
    old_quality = next(one for one in batch.quality if one.role == "champion")
    assert (old_quality.abs_error, old_quality.sq_error, old_quality.loss, old_quality.loss_sq) == pytest.approx((55, 2525, 1.5, 1.25))


def test_with_keys_a_key_is_one_unit_and_fails_once_whichever_arm_it_meets():
    folder = Folder(watch())
    n = 50
    always = rows(ids=[f"r{k}" for k in range(n)], at=list(range(n)), rollout="ro", weight=500, key="k1", status="error")
    folder.add(always, NONE)
    moved = rows(
        ids=[f"s{k}" for k in range(n)],
        at=[n + k for k in range(n)],
        rollout="ro",
        weight=2500,
        key="k1",
        status="error",
        role="challenger",
    )
    folder.add(moved.with_columns(version=pl.lit("1.1.0")), NONE)
    traffic = folder.take(S).traffic
    assert [(one.n, one.errors, one.units, one.bad_units) for one in traffic] == [(50, 50, 1, 1), (50, 50, 0, 0)]


def test_without_keys_each_request_is_a_unit_and_a_stand_in_is_none():
    folder = Folder(watch())
    failed = rows(ids=["a"], at=0, rollout="ro", weight=500, role="challenger", version="1.1.0", status="error", stand_in=False)
    instead = rows(ids=["a"], at=0, rollout="ro", weight=500, stand_in=True)
    folder.add(pl.concat([instead, failed]), NONE)
    units = {one.version: (one.n, one.units, one.bad_units) for one in folder.take(S).traffic}
    assert units == {"1.1.0": (1, 1, 1), "1.0.0": (1, 0, 0)}


def test_a_new_versions_first_hundred_requests_do_not_count_as_slow():
    folder = Folder(watch(slow_us={"ro": 500}))
    ids = [f"r{k}" for k in range(150)]
    new = rows(ids=ids, at=list(range(150)), rollout="ro", weight=500, role="challenger", version="1.1.0")
    folder.add(pl.concat([new, rows(ids=["z"], at=0, rollout="ro", weight=500)]), NONE)
    slow = {one.version: one.slow_units for one in folder.take(S).traffic}
    assert slow == {"1.1.0": 50, "1.0.0": 1}


def test_a_dropped_shadow_is_counted_and_nothing_else():
    folder = Folder(watch())
    folder.add(rows(ids=["a"], at=0, rollout="ro", role="shadow", version="1.1.0", status="dropped", value=None, latency=None), NONE)
    (traffic,) = folder.take(S).traffic
    assert (traffic.n, traffic.dropped, traffic.units, traffic.latency) == (0, 1, 0, {})
    assert folder.take(60 * S).quality == ()


def test_inputs_and_answers_of_the_champion_are_counted_in_the_references_cells():
    rng = np.random.default_rng(3)
    ref = pl.DataFrame({"x": rng.normal(size=500), "c": ["a", "b"] * 250, "prediction": [0.0, 1.0] * 250})
    bins = reference(ref, ["x", "c", "prediction"], time=None)
    folder = Folder(watch(bins=bins))
    frame = rows(ids=["1", "2", "3"], at=0, value=[1.0, 1.0, 0.0], x=[0.0, 99.0, None], c=["a", "new", "a"])
    folder.add(pl.concat([frame, frame.with_columns(role=pl.lit("shadow"), version=pl.lit("9.0.0"))]), NONE)
    counts = {one.column: one for one in folder.take(S).inputs}
    assert (counts["x"].n, counts["x"].nulls, counts["x"].cells[-1]) == (3, 1, 1)
    assert counts["c"].unseen == {"new": 1}
    assert (counts["prediction"].n, sum(counts["prediction"].cells)) == (3, 3)


def test_classes_that_are_text_compare_as_text():
    folder = Folder(watch(task="multiclass"))
    folder.add(rows(ids=["a", "b"], at=0, value=["cat", "dog"]), labels(["a", "b"], 1, ["cat", "cat"]))
    (quality,) = whole(folder.take(30 * S))
    assert (quality.labelled, quality.correct, quality.loss) == (2, 1, 1)


def world(seed, n):
    """Two versions, a rollout that grows, keys, errors, late and missing labels."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 60 * S, n)).tolist()
    ids = [f"r{k}" for k in range(n)]
    keys = [None if rng.random() < 0.3 else f"k{rng.zipf(1.7) % 40}" for _ in range(n)]
    weight = [0 if moment < 20 * S else 2500 if moment < 40 * S else 5000 for moment in at]
    challenger = rng.random(n) < np.array(weight) / 10_000
    common = {
        "ids": ids,
        "at": at,
        "rollout": "ro",
        "weight": weight,
        "key": keys,
        "day": rng.integers(1, 4, n).tolist(),
        "x": rng.normal(size=n).tolist(),
    }
    common["score"] = [None if draw < 0.1 else float("nan") if draw < 0.12 else draw for draw in rng.random(n).tolist()]
    answer = rows(
        **common,
        version=["1.1.0" if new else "1.0.0" for new in challenger],
        role=["challenger" if new else "champion" for new in challenger],
        status=["error" if rng.random() < 0.05 else "ok" for _ in range(n)],
        latency=rng.integers(100, 9000, n).tolist(),
        value=rng.integers(0, 2, n).astype(float).tolist(),
    )
    shadow = rows(
        **common,
        version=["1.0.0" if new else "1.1.0" for new in challenger],
        role="shadow",
        latency=rng.integers(100, 9000, n).tolist(),
        value=rng.integers(0, 2, n).astype(float).tolist(),
    )
    labelled = rng.random(n) < 0.9
    known = [
        (request, moment + int(delay), int(truth))
        for request, moment, delay, truth, has in zip(ids, at, rng.integers(0, 14 * S, n), rng.integers(0, 2, n), labelled, strict=True)
        if has
    ]
    # some are sent twice, some corrected, some come after their row was judged, some are of nobody
    known += [(request, moment + int(rng.integers(0, 3 * S)), truth) for request, moment, truth in known[::7]]
    known += [(request, moment + int(rng.integers(0, 3 * S)), 1 - truth) for request, moment, truth in known[::11]]
    known += [(f"nobody{k}", int(rng.integers(0, 60 * S)), 1) for k in range(n // 20)]
    sex = rng.choice(["f", "m", "x", None], len(known)).tolist()
    label = pl.DataFrame(known, schema={"request_id": pl.String, "at": pl.Int64, "value": pl.Int64}, orient="row")
    label = label.with_columns(pl.Series("attribute:sex", sex, dtype=pl.String))
    return pl.concat([answer, shadow]), label


def sums(batches):
    """Everything additive in batches, as one value that can be compared."""
    found = defaultdict(Counter)
    for batch in batches:
        for kind in ("traffic", "quality"):
            for one in getattr(batch, kind):
                place = (kind, one.version, one.role, one.minute, getattr(one, "slice", ""), getattr(one, "weight", 0))
                for name in one.__struct_fields__:
                    value = getattr(one, name)
                    if name in {"minute", "weight", "latency", "ranked"} or isinstance(value, str):
                        continue
                    if name == "scores":
                        cells = binned.unpack(value)
                        for cell, *counts in zip(*(part.tolist() for part in cells), strict=True):
                            found[place].update({f"cell {cell}.{kind}": count for kind, count in enumerate(counts)})
                        continue
                    found[place][name] += value
                if kind == "traffic":
                    found[place].update({f"bin {place}": count for place, count in one.latency.items()})
        for one in batch.labels:
            found["labels", one.minute].update({name: getattr(one, name) for name in ("came", "duplicates", "corrected", "late", "early")})
            found["labels", one.minute].update({f"lag {cell}": count for cell, count in one.lag.items()})
        for model, count in batch.unmatched.items():
            found["unmatched", model]["n"] += count
        for pair in batch.pairs:
            for name in ("minus", "zero", "plus", "old_loss"):
                found["pairs", pair.new, pair.old, pair.counts.slice][name] += round(getattr(pair.counts, name), 6)
        for one in batch.inputs:
            found["inputs", one.column].update({"n": one.n, "nulls": one.nulls} | {str(k): c for k, c in enumerate(one.cells)})
        for block in batch.blocks:
            found["losses", block.version][len(found["losses", block.version])] = block.losses
    losses = {key: tuple(x for part in value.values() for x in part) for key, value in found.items() if key[0] == "losses"}
    # rounded once: rounding at every cut would add up
    told = {key: Counter({name: round(each, 6) for name, each in value.items()}) for key, value in found.items() if key[0] != "losses"}
    return {key: +value for key, value in told.items() if +value} | losses


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 79), max_size=12, unique=True), data=st.data())
def test_cutting_time_differently_gives_the_same_sums(seed, cuts, data):
    frame, known = world(seed, 120)
    bins = reference(pl.DataFrame({"x": np.random.default_rng(0).normal(size=400)}), ["x"], time=None)
    looking = watch(
        bins=bins,
        slow_us={"ro": 5000},
        arms={"ro": ("1.1.0", "1.0.0")},
        derived={"high": (pl.col("x") > 0).meta.serialize(format="json")},
        reads=("x",),
        attributes={"sex": ("f", "m")},
    )
    at_once = Folder(looking)
    at_once.add(frame, known)
    expected = sums([at_once.take(200 * S)])
    pieces, batches, start = Folder(looking), [], -1
    for cut in [*sorted(cuts), 80, 200]:
        now = cut * S
        span = (pl.col("at") > start) & (pl.col("at") <= now)
        shuffled = frame.filter(span).sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99)))
        pieces.add(shuffled, known.filter(span))
        batches.append(pieces.take(now))
        start = now
    assert sums(batches) == expected
    assert any(key[0] == "pairs" for key in expected)
    slices = {key[4] for key in expected if key[0] == "quality"}
    assert {"", "day=1", "high=true", "high=false", "sex=f", "sex=m"} <= slices
    assert "sex=x" not in slices, "a value that was not declared"
    assert {"came", "late", "duplicates", "corrected"} <= {name for key in expected if key[0] == "labels" for name in expected[key]}


def test_unit_counts_agree_with_a_plain_count_by_hand():
    frame, known = world(5, 400)
    folder = Folder(watch(arms={"ro": ("1.1.0", "1.0.0")}))
    folder.add(frame, known)
    traffic = folder.take(80 * S).traffic
    seen, expected = set(), Counter()
    split = frame.filter((pl.col("weight") > 0) & (pl.col("role") != "shadow")).sort("at", "request_id")
    for row in split.iter_rows(named=True):
        unit = row["key"] or row["request_id"]
        expected[row["version"], row["weight"]] += unit not in seen
        seen.add(unit)
    found = Counter()
    for one in traffic:
        if one.weight:
            found[one.version, one.weight] += one.units
    assert found == +expected


def test_many_small_takes_with_a_long_delay_keep_every_row_and_its_order():
    n = 400
    folder = Folder(watch(label_delay=Span(1000 * S)))
    ids = [f"r{k:03}" for k in range(n)]
    wrong = [float(k % 7 == 0) for k in range(n)]
    batches = []
    for k in range(n):
        folder.add(rows(ids=[ids[k]], at=k * S, value=wrong[k]), labels([ids[k]], k * S, 0))
        batches.append(folder.take(k * S))
    batches += [folder.take(cut * S) for cut in range(1000, 1500, 3)]
    assert total(batches, "quality", "labelled") == 2 * n, "whole and slice"
    assert [loss for batch in batches for one in batch.blocks for loss in one.losses] == wrong


def test_another_watch_goes_on_with_the_same_rows_and_forgets_rollouts_that_are_over():
    folder = Folder(watch(arms={"ro": ("1.1.0", "1.0.0")}))
    folder.add(rows(ids=["a"], at=0, rollout="ro", weight=500, key="k1"), NONE)
    folder.take(1)
    folder.rewatch(watch(arms={"ro": ("1.1.0", "1.0.0")}, slices=()))
    folder.add(rows(ids=["b"], at=2, rollout="ro", weight=500, key="k1"), NONE)
    assert folder.take(3).traffic[0].units == 0
    folder.rewatch(watch(arms={"ro2": ("1.2.0", "1.0.0")}))
    folder.add(rows(ids=["c"], at=4, rollout="ro2", weight=500, key="k1"), NONE)
    assert folder.take(5).traffic[0].units == 1
    assert sum(one.matured for one in whole(folder.take(60 * S))) == 3
    folder.rewatch(watch())
    assert not folder._units._seen
    assert not folder._paired, "no rollout is on its way: its keys are kept no longer"


def test_losses_are_errors_of_classes_and_clipped_shares_of_the_cap_of_numbers():
    value, truth, score = [1.0, 0.0, 1.0], [1.0, 0.8, 0.0], [0.9, 0.2, 0.7]
    for task, loss, cap, expected in (("binary", "zero_one", 1.0, [0, 1, 1]), ("regression", "absolute", 1.0, [0, 0.8, 1])):
        folder = Folder(watch(task=task, loss=loss, loss_cap=cap))
        folder.add(rows(ids=["a", "b", "c"], at=[0, 1, 2], value=value, score=score), labels(["a", "b", "c"], 3, truth))
        found = [x for one in folder.take(60 * S).blocks for x in one.losses]
        assert found == pytest.approx(expected)


def test_labels_that_no_row_waits_for_are_counted_once():
    folder = Folder(watch(label_delay=Span(0)))
    folder.add(rows(ids=["1", "2"], at=S), NONE)
    assert whole(folder.take(2 * S))[0].labelled == 0, "without a delay a row is judged before a label can come"
    folder.add(NONE, labels(["1", "2"], 3 * S, 1))
    assert folder.take(4 * S).unmatched == {"m": 2}
    assert folder.take(5 * S).unmatched == {}

    folder = Folder(watch())
    folder.add(rows(ids=["1"], at=S), labels(["1", "unknown"], 3 * S, 1))
    batches = [folder.take(second * S) for second in (5, 11, 14)]
    assert [batch.unmatched for batch in batches] == [{}, {}, {"m": 1}]


def test_of_each_unit_the_first_request_to_the_new_version_is_counted_at_once_with_how_it_went():
    folder = Folder(watch(settle=Span(30 * S)))
    common = {"version": "1.1.0", "role": "challenger", "rollout": "ro", "weight": 500}
    # one key always fails, one fails later, and two requests have no key
    folder.add(rows(ids=["1", "2", "3"], at=[1, 2, 3], key="bad", status="error", **common), NONE)
    folder.add(rows(ids=["4", "5"], at=[4, 5], key="late", status=["ok", "error"], **common), NONE)
    folder.add(rows(ids=["6", "7"], at=[6, 7], status=["ok", "error"], **common), NONE)
    [traffic] = folder.take(S).traffic
    assert (traffic.n, traffic.errors, traffic.bad_units) == (7, 5, 3)
    assert (traffic.met, traffic.failed) == (4, 2)
    assert traffic.units == 0, "not settled yet"


def test_units_of_a_split_count_once_no_slower_request_of_their_time_can_come():
    # the canary hangs: its exposures are told ten seconds late, and until then the split would look as if it had none
    folder = Folder(watch(settle=Span(11 * S), arms={"ro": ("2.0.0", "1.0.0")}))
    stable = rows(ids=[f"s{place}" for place in range(95)], at=0, rollout="ro", weight=500)
    canary = rows(
        ids=[f"c{place}" for place in range(5)], at=0, version="2.0.0", role="challenger", rollout="ro", weight=500, status="error"
    )
    folder.add(stable, NONE)
    early = folder.take(5 * S)
    folder.add(canary, NONE)
    late, settled = folder.take(10 * S), folder.take(11 * S)
    assert (total([early], "traffic", "n"), total([early, late], "traffic", "units")) == (95, 0)
    assert total([late], "traffic", "bad_units") == 5, "what fails speaks at once"
    assert {one.version: (one.n, one.units) for one in settled.traffic} == {"1.0.0": (0, 95), "2.0.0": (0, 5)}
    assert total([folder.take(30 * S)], "traffic", "units") == 0, "each once"


def came(batches):
    """What was counted of labels, of all minutes."""
    return {name: total(batches, "labels", name) for name in ("came", "duplicates", "corrected", "late", "early")}


def test_how_labels_come_is_counted_late_twice_corrected_and_of_nobody():
    folder = Folder(watch())
    ids = ["a", "b", "c", "d"]
    sent = [("a", 2, 1), ("a", 3, 1), ("b", 4, 1), ("b", 6, 0), ("c", 15, 1), ("c", 16, 1), ("stranger", 5, 1)]
    folder.add(rows(ids=ids, at=0), labels([one for one, _, _ in sent], [at * S for _, at, _ in sent], [value for _, _, value in sent]))
    batches = [folder.take(at * S) for at in (5, 12, 15.5, 40)]
    assert came(batches) == {"came": 7, "duplicates": 1, "corrected": 1, "late": 2, "early": 0}
    lag = Counter()
    for batch in batches:
        for one in batch.labels:
            lag.update(one.lag)
    seconds = [2, 4, 15]
    assert lag == Counter(int(8 * np.log2(second * S)) for second in seconds), "the first label of each row"
    assert sum(batch.unmatched.get("m", 0) for batch in batches) == 2, "c had no label in time, and nobody knows the stranger"
    assert sum(one.labelled for batch in batches for one in whole(batch)) == 2


def test_a_label_that_is_known_before_its_row_is_asked_about_is_early_and_counts():
    folder = Folder(watch())
    folder.add(rows(ids=["a", "b"], at=5 * S), labels(["a", "b"], [4 * S, 6 * S], 1))
    batch = folder.take(30 * S)
    assert came([batch])["early"] == 1
    assert whole(batch)[0].labelled == 2


def test_clocks_that_disagree_lose_no_row_and_no_label():
    folder = Folder(watch())
    folder.add(rows(ids=["past", "now", "future"], at=[-500 * S, 10 * S, 400 * S]), labels(["past", "now", "future"], 11 * S, 1))
    first = folder.take(21 * S)
    assert sum(one.matured for one in whole(first)) == 2, "the row of the future waits for its time"
    assert (whole(first)[0].labelled, came([first])["late"]) == (0, 1), "the row of the past was judged before its label came"
    last = folder.take(500 * S)
    assert sum(one.matured for one in whole(last)) == 1
    assert came([first, last])["came"] == 3


def test_a_shadows_row_does_not_count_its_requests_label_twice():
    folder = Folder(watch())
    both = pl.concat([rows(ids=["a"], at=0), rows(ids=["a"], at=0, version="1.1.0", role="shadow")])
    folder.add(both, labels(["a"], 20 * S, 1))
    assert came([folder.take(30 * S)]) == {"came": 1, "duplicates": 0, "corrected": 0, "late": 1, "early": 0}


def test_protected_columns_count_rows_once_their_label_is_there():
    folder = Folder(watch(attributes={"sex": ("f", "m")}, slices=()))
    known = labels(["a", "b", "c", "d"], 1 * S, [1, 0, 1, 1]).with_columns(pl.Series("attribute:sex", ["f", "m", "other", None]))
    folder.add(rows(ids=["a", "b", "c", "d", "e"], at=0), known)
    counts = {one.slice: (one.matured, one.labelled, one.tp, one.fp) for one in folder.take(30 * S).quality}
    assert counts == {"": (5, 4, 3, 1), "sex=f": (1, 1, 1, 0), "sex=m": (1, 1, 0, 1)}


def test_a_correction_without_attributes_takes_none_back():
    folder = Folder(watch(attributes={"sex": ("f", "m")}, slices=()))
    first = labels(["a"], 1 * S, 1).with_columns(pl.Series("attribute:sex", ["f"]))
    folder.add(rows(ids=["a"], at=0), pl.concat([first, labels(["a"], 2 * S, 0)], how="diagonal"))
    counts = {one.slice: (one.tp, one.fp) for one in folder.take(30 * S).quality}
    assert counts == {"": (0, 1), "sex=f": (0, 1)}


def test_a_slice_by_an_expression_is_counted_where_its_columns_are_there():
    text = (pl.col("country") != pl.col("home")).meta.serialize(format="json")
    folder = Folder(watch(slices=(), derived={"abroad": text}, reads=("country", "home")))
    countries = {"country": ["fr", "de", None], "home": ["fr", "fr", "fr"]}
    # a number where text was declared, and a request of a version without these fields: counted as a whole
    folder.add(rows(ids=["d"], at=0, country=[3], home=["fr"]), NONE)
    folder.take(1)
    folder.add(rows(ids=["e"], at=1), NONE)
    folder.take(2)
    folder.add(rows(ids=["a", "b", "c"], at=2, **countries), labels(["a", "b", "c"], S, 1))
    counts = {one.slice: one.matured for one in folder.take(30 * S).quality}
    assert counts == {"": 5, "abroad=true": 1, "abroad=false": 1}


def test_a_burst_of_a_million_late_labels_is_counted_and_not_kept():
    n = 1_000_000
    folder = Folder(watch(label_delay=Span(S), slices=()))
    ids = pl.Series("request_id", np.arange(n)).cast(pl.String)
    asked = pl.DataFrame({"request_id": ids, "at": pl.Series(np.arange(n)), "version": "1.0.0", "value": 1.0})
    folder.add(asked, NONE)
    folder.take(10 * S)
    late = asked.select("request_id", pl.lit(20 * S).alias("at"), "value")
    folder.add(NONE, late)
    batch = folder.take(30 * S)
    assert came([batch]) == {"came": n, "duplicates": 0, "corrected": 0, "late": n, "early": 0}
    assert batch.unmatched == {"m": n}
    assert folder.labels.waiting == 0


def test_a_burst_of_labels_that_nobody_knows_leaves_those_of_rows_that_wait(monkeypatch):
    monkeypatch.setattr("flyball.evaluation.counts_labels.MOST_WAITING", 1_000)
    folder = Folder(watch(label_delay=Span(100 * S), slices=(), attributes={"sex": ("f",)}))
    folder.add(
        rows(ids=["a", "b"], at=0), labels(["a", "b", "b"], [S, S, 2 * S], [1, 1, 0]).with_columns(pl.lit("f").alias("attribute:sex"))
    )
    folder.take(3 * S)
    for second in range(4, 10):
        folder.add(NONE, labels([f"{second}:{k}" for k in range(400)], second * S, 1))
        folder.take(second * S)
        assert folder.labels.waiting <= 1_400
    batch = folder.take(100 * S)
    assert [(one.slice, one.labelled, one.tp, one.fp) for one in batch.quality] == [("", 2, 1, 1), ("sex=f", 2, 1, 1)]
    folder.take(300 * S)
    assert folder.labels.unmatched == 6 * 400


@pytest.mark.parametrize("classes", [(), (0, 1), (False, True)])
def test_counts_of_two_classes_do_not_depend_on_how_they_are_written(classes):
    folder = Folder(watch(classes=classes, slices=()))
    folder.add(rows(ids=["a", "b"], at=0, value=[True, False], score=[0.9, 0.2]), labels(["a", "b"], S, [1, 1]))
    [quality] = folder.take(30 * S).quality
    assert (quality.tp, quality.fn, quality.scored) == (1, 1, 2)


@pytest.mark.parametrize(("task", "loss", "values"), [("regression", "absolute", [1.0, 2.0]), ("multiclass", "zero_one", ["a", "b"])])
def test_a_row_without_a_value_of_a_slice_is_counted_in_the_whole(task, loss, values):
    folder = Folder(watch(task=task, loss=loss, classes=("a", "b", "c") if task == "multiclass" else ()))
    folder.add(rows(ids=["r0", "r1"], at=[S, 2 * S], value=values).with_columns(day=pl.Series(["x", None])), NONE)
    assert {one.slice: one.matured for one in folder.take(100 * S).quality} == {"": 2, "day=x": 1}
