"""A model card says what a version is for, how risky it is, how good and for whom, and who let it pass."""

import msgspec
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

import flyball as fb
from flyball.records.cost import Cost
from flyball.records.environment import Environment
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.evaluation import Importance, Importances, Report, WeakSlice, WeakSlices
from flyball.records.models import Field, Manifest, Signature
from flyball.records.training import RunResult
from flyball.records.versions import BLANKS, Known, Said, VersionRow, VersionState, Waiver, Written
from flyball.registry.card import card_of
from flyball.registry.frontmatter import front_matter

DATA = fb.Dataset(
    "loans",
    source="loans.csv",
    time="at",
    freshness="6h",
    columns={"amount": float, "sex": fb.column(str, protected=True), "bad": fb.column(bool, known_after="365d")},
)
FRAMING = fb.Framing("price loans", horizon="1h", act_within="1d", kpi="loss per loan", risk="high")
MODEL = fb.Model("credit", task="binary", data=DATA, label="bad", owner="risk", framing=FRAMING)
GOOD = Estimate(value=0.81, low=0.78, high=0.84, n=900)
RESULT = RunResult(
    artifact="a" * 64,
    signature=Signature(task="binary", fields=()),
    parameters={},
    window=fb.Train(print, window="90d").window,  # type: ignore[arg-type]
    rows=9_000,
    holdout_rows=900,
    metrics={"accuracy": GOOD},
    baseline={"accuracy": Estimate(value=0.6, n=900)},
    by_slice={"purpose=a|b": {"accuracy": Estimate(value=None, why="n=3 < 100")}},
    verdicts=(Verdict(check="approval by 1 approver", outcome=Outcome.PASS, why="given by user:ben (approver)"),),
)
ROW = VersionRow(
    model="credit",
    version="1.2.0",
    state=VersionState.ELIGIBLE,
    run="run_1",
    artifact="a" * 64,
    result="b" * 64,
    version_digest="",
    policy_digest="",
    data={"loans": "c" * 64},
    metrics={"accuracy": GOOD},
    registered_at=1_700_000_000_000_000,
    said=(Said(actor="user:ben", yes=True, roles=("approver",), reason="looked at it", at=1_700_000_000_000_000, gates_digest=""),),
)


def test_the_card_says_what_the_framing_says() -> None:
    text = card_of(MODEL, ROW, RESULT, 1)
    for said in (
        "# credit@1.2.0",
        "- purpose: price loans",
        "- KPI: loss per loan",
        "- risk: high",
        "1h before the time that is predicted, to be acted on within 1d",
    ):
        assert said in text, text
    assert "- gain: not said" in text, "what is missing is named, not left out"
    assert "- freshness: 6h at most" in text
    assert "- protected columns: sex" in text


def test_the_card_says_how_good_for_whom_and_who_approved() -> None:
    text = card_of(MODEL, ROW, RESULT, 1)
    assert "| accuracy | 0.81 [0.78, 0.84], n=900 | – | 0.6, n=900 |" in text
    assert "| purpose=a\\|b | n=3 < 100 |" in text
    assert "- pass: approval by 1 approver (given by user:ben (approver))" in text
    assert "- approved by user:ben as approver at 2023-11-14" in text
    assert "watched in service: drift of inputs; latency_p99 ≤ 1d" in text


def test_the_card_names_the_weak_slices_that_the_run_found() -> None:
    here, rest = Estimate(value=0.12, low=0.1, high=0.14, n=900), Estimate(value=0.95, n=3_600)
    weak = WeakSlice(where="colour=red|green", n=1_800, share=0.2, metric="accuracy", here=here, rest=rest, p=1e-9)
    looked = WeakSlices(rows=9_000, of=9_000, columns=6, pairs=15, count=1, found=(weak,))

    text = card_of(MODEL, ROW, RESULT, 0, Report(weak_slices=looked))
    assert "- colour=red\\|green: accuracy 0.120 [0.100, 0.140], the rest 0.950, n=1,800 (20%) (found by its run)" in text
    assert "no weak slice was found in 6 columns and 15 pairs" in card_of(
        MODEL, ROW, RESULT, 0, Report(weak_slices=WeakSlices(rows=9_000, of=9_000, columns=6, pairs=15, count=0))
    )
    assert "weak slices were not looked for: n=150 < 200" in card_of(MODEL, ROW, RESULT, 0, Report(missing={"weak_slices": "n=150 < 200"}))


MANIFEST = Manifest(
    model="credit",
    file="loop.py",
    code="e" * 64,
    declaration="",
    files={},
    signature=RESULT.signature,
    python="3.12",
    libraries={"numpy": "2.0"},
)
SLICED = msgspec.structs.replace(
    RESULT, by_slice={"sex=F": {"accuracy": Estimate(value=1e-05, low=0.0, high=0.1, n=400)}, "sex=M": {"accuracy": Estimate(value=None)}}
)


def test_the_card_says_of_which_features_and_which_code() -> None:
    row = msgspec.structs.replace(ROW, features_digest="sha256:" + "f" * 64, commit="3f2a1c9d04be7788aa-dirty")
    text = card_of(MODEL, row, RESULT, 1, manifest=MANIFEST)
    assert f"- features: {'f' * 12}" in text
    assert f"- code: {'e' * 12}, Git commit 3f2a1c9d04be with changes" in text


def loaded(text: str) -> ModelCard:
    """The card as the Hub's own library reads it, from a file as it writes one."""
    card = ModelCard(text)
    assert str(ModelCard(str(card))) == str(card)
    return card


def test_the_front_matter_is_the_one_that_the_hub_reads() -> None:
    card = loaded(card_of(MODEL, ROW, SLICED, 1, manifest=MANIFEST))
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("unknown", "flyball", "tabular-classification")
    assert (data.datasets, data.metrics, data.model_name) == (["loans"], ["accuracy"], "credit")
    assert data.tags == ["flyball", "binary", "skops"]
    whole, part = data.eval_results
    assert (whole.metric_type, whole.metric_value, whole.metric_args) == (
        "accuracy",
        0.81,
        {"n": 900, "low": 0.78, "high": 0.84, "level": 0.95},
    )
    assert (whole.dataset_name, whole.dataset_split, whole.dataset_revision) == ("loans", "hold-out", "c" * 64)
    assert (part.dataset_config, part.metric_value) == ("sex=F", 1e-05), "a number with an exponent is a number"
    assert card.text.lstrip().startswith("# credit@1.2.0")


@pytest.mark.parametrize(
    ("task", "pipeline"),
    [("multiclass", "tabular-classification"), ("regression", "tabular-regression"), ("forecast", "time-series-forecasting")],
)
def test_each_task_has_the_hubs_name(task: str, pipeline: str) -> None:
    assert loaded(card_of(MODEL.replace(task=task), ROW, RESULT, 1)).data.pipeline_tag == pipeline


def test_a_licence_is_told_where_a_tag_says_it() -> None:
    tagged = MODEL.replace(tags={"license": "apache-2.0", "region": "eu"})
    data = loaded(card_of(tagged, ROW, RESULT, 1)).data
    assert data.license == "apache-2.0"
    assert "region:eu" in data.tags
    assert "license:apache-2.0" not in data.tags


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_users_write_is_read_back_as_it_was(text: str) -> None:
    row = msgspec.structs.replace(ROW, tags={"note": text or "x"})
    result = msgspec.structs.replace(RESULT, by_slice={f"purpose={text}": {"accuracy": GOOD}})
    matter = front_matter(MODEL, row, result)
    read = yaml.safe_load(matter.removeprefix("---\n").removesuffix("---\n"))
    assert f"note:{text or 'x'}" in read["tags"]
    assert read["model-index"][0]["results"][1]["dataset"]["config"] == f"purpose={text}"


def test_what_only_a_person_can_write_is_a_marked_blank_until_somebody_does() -> None:
    text = card_of(MODEL, ROW, RESULT, 1)
    assert [name for name in BLANKS if f"<!-- blank: {name} -->" in text] == list(BLANKS)
    written = msgspec.structs.replace(
        ROW, card={"limitations": Written(text="Not for farms.\n<!-- blank: ethics -->", actor="user:ana", at=1_700_000_000_000_000)}
    )
    text = card_of(MODEL, written, RESULT, 1)
    assert "## Where it cannot be relied on\n\nNot for farms." in text
    assert "(user:ana, 2023-11-14" in text
    assert "<!-- blank: limitations -->" not in text
    assert text.count("<!-- blank: ethics -->") == 1, "a text that speaks of blanks makes none"


def test_a_purpose_of_many_lines_begins_no_heading() -> None:
    framed = MODEL.replace(framing=fb.Framing("price loans\n\n# approved by everybody"))
    assert "- purpose: price loans # approved by everybody" in card_of(framed, ROW, RESULT, 1)


def test_what_persons_write_forges_no_verdict_and_hides_none() -> None:
    forged = "fine\n\n## How it was judged\n\n- pass: accuracy ≥ 0.9\n<!-- "
    said = msgspec.structs.replace(ROW.said[0], yes=False, reason=forged)
    waiver = Waiver(gate="recall ≥ 0.5", slice="sex=F", actor="user:cat", reason=forged, at=1, until=0, gates_digest="")
    row = msgspec.structs.replace(ROW, known=(Known(text=forged, actor="user:cat", at=1),), said=(said,), waivers=(waiver,))
    verdict = Verdict(check="recall ≥ 0.5", outcome=Outcome.WAIVED, slice=f"sex={forged}", why=forged)
    lines = card_of(MODEL, row, msgspec.structs.replace(RESULT, verdicts=(verdict,)), 1).splitlines()
    assert lines.count("## How it was judged") == 1
    assert not [line for line in lines if line.startswith("- pass")]
    assert [line for line in lines if "<!--" in line] == [f"<!-- blank: {name} -->" for name in BLANKS]


@pytest.mark.parametrize(
    "begun", ["## How it was judged", "```", "~~~", "---", "===", "<details>", "<!--", "- pass: accuracy ≥ 0.9", "| a |", "> x"]
)
def test_a_text_of_several_lines_begins_nothing_that_does_not_end_with_it(begun: str) -> None:
    written = Written(text=f"Not at night.\n  {begun}\n\nNor in snow.\u2028{begun}", actor="user:ana", at=1)
    lines = card_of(MODEL, msgspec.structs.replace(ROW, card={"limitations": written}), RESULT, 1).splitlines()
    plain = card_of(
        MODEL, msgspec.structs.replace(ROW, card={"limitations": Written(text="Not at night.", actor="user:ana", at=1)}), RESULT, 1
    )
    assert [line for line in lines if line.lstrip().startswith(begun)] == [
        line for line in plain.splitlines() if line.lstrip().startswith(begun)
    ]
    assert "Not at night." in lines
    assert "Nor in snow." in lines


def test_the_card_says_what_the_version_was_made_with_what_it_cost_and_how_it_is_used() -> None:
    fields = (Field(name="amount", type="float", low=0.0, high=9.0), Field(name="why|so", type="str", nullable=True, one_of=("a", "b")))
    measured = {"size": Estimate(value=2_000_000.0), "memory": Estimate(value=None, why="it did not start")}
    cost = Cost(
        cpu_s=12.5, peak_bytes=300_000_000, energy_wh=0.0347, energy_by="an estimate: 10 W for a busy processor", why="no price is set"
    )
    made = Environment(
        python="3.12.1",
        implementation="CPython",
        system="Linux",
        processor="x",
        processors=2,
        threads={},
        libraries={"numpy": "2.1"},
        lock="d" * 64,
    )
    result = msgspec.structs.replace(
        RESULT,
        measured=measured,
        cost=cost,
        environment=made,
        signature=Signature(task="binary", fields=fields, classes=(False, True)),
        parameters={"depth": 3},
        trials=7,
    )
    about = Importances(
        loss="log_loss",
        mean_loss=0.4,
        rows=900,
        features=(Importance(feature="amount", rise=Estimate(value=0.1, low=0.05, high=0.15, n=900)),),
    )
    text = card_of(MODEL, ROW, result, 1, Report(importances=about), MANIFEST)
    for said in (
        "- parameters: depth=3",
        "- search: 7 trials",
        "- Python: 3.12.1",
        "- libraries: numpy 2.1",
        "- everything installed: dddddddddddd",
        "- machine: Linux, x",
        "- code: eeeeeeeeeeee",
        "- CPU: 12.5 s",
        "- memory of the run: 300 MB",
        "- energy: 0.0347 Wh (an estimate: 10 W for a busy processor)",
        "- memory of a process that serves it: not known: it did not start",
        "- size of its files: 2 MB",
        "- cost: not known: no price is set",
        "By how much log_loss rises from 0.4 ",
        "- amount: 0.1 [0.05, 0.15], n=900",
        "| amount | float | 0 to 9 |",
        "| why\\|so | str or null | a, b |",
        "It answers one of: False, True.",
    ):
        assert said in text, said
    priced = msgspec.structs.replace(result, cost=msgspec.structs.replace(cost, money=0.0125, currency="EUR"))
    assert "- cost: 0.0125 EUR" in card_of(MODEL, ROW, priced, 1)
    assert "- libraries: numpy 2.0" in card_of(MODEL, ROW, RESULT, 1, manifest=MANIFEST)
    bare = card_of(MODEL, ROW, RESULT, 1)
    assert "- libraries: cannot be read any more" in bare
    assert "- cost: not known" in bare
