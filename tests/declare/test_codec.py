"""A declaration survives JSON, and its digests say exactly what has changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import flyball as fb
from flyball.declare import codec
from flyball.declare.code import load_model, models_of, snapshot
from flyball.declare.functions import Expression, Function
from flyball.errors import DeclarationError, NotFound

LOOP = '''
"""A loop."""
import flyball as fb
import polars as pl
{imports}
SCALE = 3

def helper(x):
    return x * SCALE

def fit(X, y, *, depth=2):
    """Fit."""
    return helper(depth)

data = fb.Dataset("d", source="d.csv", time="ts", columns={{"a": fb.column(float, known_after="{known}"), "y": int}}, freshness="{fresh}")
model = fb.Model("m", task="regression", data=data, label="y", transforms={{"b": pl.col("a") * 2}},
    train=fb.Train(fit, window="{window}"), owner="{owner}", gates=[fb.metric("mae") <= {bound}])
'''
GIVEN = {"imports": "", "known": "0s", "fresh": "1d", "window": "28d", "owner": "me", "bound": "1"}


def digests(model):
    return codec.digests(codec.encode(model))


def of(module, text: str = LOOP, edit=lambda text: text, **changes: str):
    return digests(module(edit(text.format(**(GIVEN | changes)))).model)


def test_encoding_what_was_decoded_gives_the_same_bytes(make) -> None:
    text = codec.encode(make())
    assert codec.encode(codec.decode(text)) == text


def test_a_decoded_model_has_values_and_references_but_no_code(make) -> None:
    model, again = make(), codec.decode(codec.encode(make()))
    assert again.gates == model.gates
    assert again.rollout == model.rollout
    assert again.retrain == model.retrain
    assert list(again.data.columns) == list(model.data.columns)
    assert again.data == model.data
    assert again.framing == model.framing
    assert isinstance(again.train.fit, Function)
    assert not callable(again.train.fit)
    assert isinstance(again.transforms["gap"], Expression)


def test_numbers_keep_their_type(make) -> None:
    model = make(train=fb.Train(print, search={"scale": fb.choice(5.0, 20, True, "a")}), fallback=0.0)
    again = codec.decode(codec.encode(model))
    assert [type(option) for option in again.train.search["scale"].options] == [float, int, bool, str]
    assert isinstance(again.fallback, float)
    large = make(train=fb.Train(print, search={"scale": fb.choice(2.0**53, 1e19, -2.5e20, 1e21, 1.5e300, 2**53, 10**20)}))
    text = codec.encode(large)
    assert codec.digests(text)
    assert codec.encode(codec.decode(text)) == text
    options = codec.decode(text).train.search["scale"].options
    assert [(type(option), option) for option in options] == [(type(option), option) for option in large.train.search["scale"].options]


def test_what_a_contract_asks_survives_and_changes_no_version(make, make_market) -> None:
    asked = {"gap": "2h", "ahead": "5m", "disorder": "1h", "on_breach": "warn", "keep": "90d", "about": "half hours"}
    others = fb.Dataset("towns", source="towns.csv", id="town", columns={"size": int})
    columns = make_market().columns | {"city": fb.column(str, known_after="-1d", unseen="1%", shift="10%")}
    plain, strict = make(), make(data=make_market(columns=columns, references={"city": others}, **asked))
    again = codec.decode(codec.encode(strict))
    assert again.data == strict.data
    assert again.data.references["city"].data == others
    assert digests(strict).version == digests(plain).version
    assert digests(strict).policy != digests(plain).policy


def test_a_view_of_rows_survives_and_what_a_request_may_break_is_of_the_version(make, make_lags, make_market) -> None:
    view = make_lags(price_now="price", twice=pl.col("price") * 2)
    again = codec.decode(codec.encode(make(features=[view], transforms={})))
    assert again.features[0].features["price_now"].value == "price"
    assert isinstance(again.features[0].features["twice"].value, Expression)
    columns = make_market().columns | {"day": fb.column(int, between=(1, 7), known_after="-1d", on_request="impute")}
    assert digests(make(data=make_market(columns=columns))).version != digests(make()).version


def test_an_expression_can_be_read_back_by_polars(make) -> None:
    again = codec.decode(codec.encode(make()))
    expression = pl.Expr.deserialize(again.transforms["gap"].text.encode(), format="json")
    assert expression.meta.root_names() == ["last_price", "mean_day"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"format": 2, "model": {"$": "Nothing"}}', '{"format": 2, "model": 3}'])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError):
        codec.decode(text)


def test_a_value_that_json_cannot_carry_is_named(make) -> None:
    with pytest.raises(DeclarationError, match="tags"):
        codec.encode(make(tags={"when": object()}))
    with pytest.raises(DeclarationError, match=r"search\['depth'\] options is inf"):
        codec.encode(make(train=fb.Train(print, search={"depth": fb.choice(1.0, float("inf"))})))


def test_equal_quantities_have_equal_digests(module) -> None:
    assert of(module, window="4w") == of(module, window="28d")


@pytest.mark.parametrize(
    ("changes", "version", "policy"),
    [
        ({"window": "29d"}, True, False),
        ({"known": "1h"}, True, False),
        ({"owner": "you"}, False, True),
        ({"bound": "2"}, False, True),
        ({"fresh": "2d"}, False, True),
    ],
)
def test_a_change_moves_the_digest_it_belongs_to(module, changes, version: bool, policy: bool) -> None:
    before, after = of(module), of(module, **changes)
    assert (before.version != after.version, before.policy != after.policy) == (version, policy)


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        ({"transforms": {"gap": pl.col("last_price") * 2}}, True),
        ({"inputs": ("period",)}, True),
        ({"framing": fb.Framing("charge", horizon="6h")}, True),
        ({"label": "day"}, False),
        ({"owner": "you", "gates": []}, False),
    ],
)
def test_features_have_a_digest_of_their_own(make, changes, features: bool) -> None:
    before, after = (codec.features_digest(codec.encode(each)) for each in (make(), make(**changes)))
    assert (before != after) is features
    assert before.startswith("sha256:")


SETS = """
import flyball as fb
from flyball.declare import codec
data = fb.Dataset("d", source="d.csv", time="ts", unique={"a", "b", "c"}, columns={
    **{name: fb.column(int, known_after="-1h", one_of={3, 20, 1}) for name in "abcdefgh"}, "y": fb.column(str, one_of={"no", "yes", "maybe"})})
model = fb.Model("m", task="multiclass", data=data, label="y", inputs=frozenset("hgfedcba"), slices={"a", "b", "c"})
print(model.inputs, codec.encode(model))
"""


def test_what_is_declared_as_a_set_has_one_order_in_every_process() -> None:
    told = set()
    for seed in ("1", "2", "3"):
        ran = subprocess.run(
            [sys.executable, "-c", SETS], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        told.add(ran.stdout)
    [text] = told
    assert text.startswith("('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')")
    assert '"one_of":[1,3,20]' in text


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "# a comment\n\n\n" + text,
        lambda text: text.replace('"""Fit."""', '"""Another docstring."""'),
        lambda text: text.replace("    return helper(depth)", "    # why\n    return (  helper( depth ) )"),
        lambda text: text.replace("SCALE = 3", "UNUSED = 1\nSCALE = 3"),
        lambda text: text.replace('"""A loop."""', ""),
    ],
)
def test_comments_docstrings_layout_and_unused_names_do_not_count(module, edit) -> None:
    assert of(module, edit=edit) == of(module)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("return helper(depth)", "return helper(depth) + 1"),
        lambda text: text.replace("x * SCALE", "x + SCALE"),
        lambda text: text.replace("SCALE = 3", "SCALE = 4"),
        lambda text: text.replace("depth=2", "depth=3"),
        lambda text: text.replace('pl.col("a") * 2', 'pl.col("a") * 3'),
        lambda text: text.replace("SCALE = 3", "SCALE = 3\nSCALE += 1"),
    ],
)
def test_what_a_function_does_counts_through_the_names_it_uses(module, edit) -> None:
    before, after = of(module), of(module, edit=edit)
    assert before.version != after.version
    assert before.policy == after.policy


def test_a_helper_may_move_to_another_file(module) -> None:
    helper = "SCALE = 3\n\ndef helper(x):\n    return x * SCALE\n"
    text = LOOP.format(**(GIVEN | {"imports": "from tools import helper"})).replace(helper, "")
    before = of(module)
    assert digests(module(text, tools=helper).model) == before
    assert digests(module(text, tools=helper.replace("3", "4")).model).version != before.version


def test_names_used_through_a_module_count_too(module) -> None:
    text = LOOP.format(**(GIVEN | {"imports": "import tools"})).replace("return helper(depth)", "return tools.helper(depth)")
    one = digests(module(text, tools="def helper(x):\n    return x\n\ndef other(): return 1\n").model)
    same = digests(module(text, tools="def helper(x):\n    return x\n\ndef other(): return 2\n").model)
    other = digests(module(text, tools="def helper(x):\n    return -x\n").model)
    assert one == same
    assert one.version != other.version


@pytest.mark.parametrize(
    "head",
    [
        ("", "    from tools import helper\n"),
        ("", "    import tools\n    helper = tools.helper\n"),
        ("try:\n    from tools import helper\nexcept ImportError:\n    helper = None\n", ""),
    ],
)
def test_imports_inside_functions_and_branches_count_too(module, head) -> None:
    text = LOOP.format(**(GIVEN | {"imports": head[0]})).replace("def helper(x):\n    return x * SCALE\n", "")
    text = text.replace('    """Fit."""\n', head[1])
    one = digests(module(text, tools="def helper(x):\n    return x\n").model)
    two = digests(module(text, tools="def helper(x):\n    return -x\n").model)
    assert one.version != two.version


@pytest.mark.usefixtures("module")
def test_a_snapshot_holds_what_functions_import_later(tmp_path: Path) -> None:
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "__init__.py").write_text("")
    (tmp_path / "late" / "deep.py").write_text("from . import deeper\n")
    (tmp_path / "late" / "deeper.py").write_text("")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "loop.py").write_text("def fit(X, y):\n    from late.deep import deeper\n")
    assert sorted(snapshot(tmp_path, "loop.py")) == ["late/__init__.py", "late/deep.py", "late/deeper.py", "loop.py"]


def test_the_file_and_line_of_a_model_do_not_count(module) -> None:
    text = LOOP.format(**GIVEN)
    assert digests(module("\n\n\n" + text, name="loops__deep__here").model) == digests(module(text).model)


def test_a_library_of_another_name_counts(module) -> None:
    text = LOOP.format(**(GIVEN | {"imports": "from math import floor as f"})).replace("return helper(depth)", "return f(depth)")
    assert digests(module(text).model) != digests(module(text.replace("floor as f", "ceil as f")).model)


def test_a_function_made_by_a_function_carries_what_it_holds(module) -> None:
    text = LOOP.format(**GIVEN).replace(
        "def fit(X, y, *, depth=2):", "def make(k):\n    def fit(X, y):\n        return k\n    return fit\n\ndef old(depth):"
    )
    one = digests(module(text.replace("Train(fit", "Train(make(1)")).model)
    two = digests(module(text.replace("Train(fit", "Train(make(2)")).model)
    assert one.version != two.version
    with pytest.raises(DeclarationError, match="holds"):
        codec.encode(module(text.replace("Train(fit", "Train(make([])")).model)


def test_two_lambdas_of_one_line_cannot_be_told_apart(module) -> None:
    text = LOOP.format(**GIVEN).replace("Train(fit", "Train([lambda X, y: 1, lambda X, y: 2][0]")
    with pytest.raises(DeclarationError, match="told apart"):
        codec.encode(module(text).model)


def test_models_are_found_in_lists_and_dicts_once_each(module) -> None:
    text = LOOP.format(**GIVEN) + '\nmany = [model, model.replace("n")]\nmore = {"a": model.replace("o")}\n'
    assert [model.name for _, model in models_of(module(text))] == ["m", "n", "o"]


@pytest.mark.usefixtures("module")
def test_a_snapshot_holds_what_the_file_imports_and_loads_elsewhere(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "loops").mkdir(parents=True)
    helper = "SCALE = 3\n\ndef helper(x):\n    return x * SCALE\n"
    text = LOOP.format(**(GIVEN | {"imports": "from loops.tools import helper"})).replace(helper, "")
    (project / "loops" / "price.py").write_text(text)
    (project / "loops" / "tools.py").write_text(helper)
    (project / "loops" / "other.py").write_text("raise RuntimeError")
    code = snapshot(project, "loops/price.py")
    assert sorted(code) == ["loops/price.py", "loops/tools.py"]

    (project / "loops" / "tools.py").write_text(helper.replace("3", "5"))
    for name, text in code.items():
        (tmp_path / "shipped" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shipped" / name).write_text(text)
    shipped = load_model(tmp_path / "shipped", "loops/price.py", "m")
    current = load_model(project, "loops/price.py", "m")
    assert (shipped.train.fit(None, None), current.train.fit(None, None)) == (6, 10)
    assert digests(shipped).version != digests(current).version
    with pytest.raises(NotFound, match='no model "n"'):
        load_model(project, "loops/price.py", "n")


def test_the_body_is_canonical_json(make) -> None:
    text = codec.encode(make())
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_reaction_to_an_outcome_or_a_feedback_loop_is_declared_and_what_was_declared_before_there_were_any_is_as_ever(make) -> None:
    plain, given = codec.encode(make()), make(playbook=fb.Playbook(outcome="freeze", feedback=["page"]))
    assert not any(f'"{mode}"' in plain for mode in ("label_drift", "outcome", "feedback"))
    assert codec.decode(plain).playbook == fb.Playbook()
    assert codec.decode(codec.encode(given)).playbook == given.playbook
    assert codec.digests(plain).policy != digests(given).policy


def test_a_window_of_drift_is_declared_and_what_was_declared_before_there_were_any_is_as_ever(make) -> None:
    plain, daily = make(monitors=[fb.drift()]), make(monitors=[fb.drift(window="1d"), fb.drift("labels", window="7d")])
    assert '{"$":"Drift","columns":[],"of":"inputs"}' in codec.encode(plain)
    assert codec.decode(codec.encode(plain)).monitors == (fb.drift(),)
    assert codec.decode(codec.encode(daily)).monitors == (fb.drift(window="1d"), fb.drift("labels"))
    assert digests(plain).policy != digests(make(monitors=[fb.drift(window="1d")])).policy
    assert digests(plain).version == digests(daily).version
