"""The report for a pull request says what changes and what happens then, and nothing that a user wrote becomes Markdown."""

import re

from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import Problem
from flyball.loop.checking import CheckReport, ModelReport
from flyball.loop.checkreport import code, to_markdown
from flyball.loop.compiling import Broken
from flyball.loop.power import Line

MODEL = ModelReport(
    name="price",
    file="loops/price.py",
    line=3,
    counts={},
    version_digest="sha256:" + "a" * 64,
    policy_digest="sha256:" + "b" * 64,
    changed=("policy",),
    request={"day": "int", "rate": "float"},
    differences=("gates: − mae ≤ 1", "gates: + mae ≤ 2"),
    problems=(),
    warnings=(Problem('loops/price.py:3  Model "price"', "there is no owner", fix="name the team: owner="),),
    owners={},
    implied=(),
    when_applied="a judging anew",
    power=(Line('"mae ≤ champion" can see a rise of 0.2', {}),),
    request_changes=("field rate is new",),
)


def test_what_changes_what_happens_then_and_what_is_doubtful_is_said() -> None:
    text = to_markdown(CheckReport((MODEL,), (), ()))
    for said in (
        "## flyball check: 1 model, 0 problems, 1 warning",
        "### `price` in `loops/price.py:3`",
        "**When applied:** a judging anew.",
        "- version `aaaaaaaa`: as it was",
        "- policy `bbbbbbbb`: changed",
        "- changed: `gates: + mae ≤ 2`",
        "- **a request changes:** `field rate is new`",
        "- a request: `day int, rate float`",
        '- `"mae ≤ champion" can see a rise of 0.2`',
        "**1 warning**",
        "there is no owner",
    ):
        assert said in text, said


def test_problems_come_first_with_their_why_and_fix() -> None:
    broken = Broken("loop.py", "", (Problem("loop.py:1", "it is broken", "a bracket", "close it"),))
    text = to_markdown(CheckReport((MODEL,), (broken,), ("old",)))
    assert "1 problem, 1 warning" in text
    assert text.index("it is broken") < text.index("### `price`")
    assert "    why  a bracket\n    fix  close it" in text
    assert "- `old` is applied, and no loop file declares it any more" in text


def test_long_lists_end() -> None:
    many = MODEL._replace(differences=tuple(f"difference {number}" for number in range(100)), warnings=MODEL.warnings * 100)
    text = to_markdown(CheckReport((many,), (), ()))
    assert "- and 60 more changes" in text
    assert "and 60 more: flyball check lists them" in text


@given(st.text(alphabet="`ab @\n#<[", max_size=30))
def test_a_code_span_holds_its_text_whatever_that_is(text: str) -> None:
    span = code(text)
    marks = re.match("`+", span)
    assert marks is not None
    inner = span[len(marks[0]) : -len(marks[0])]
    assert span.endswith(marks[0])
    assert marks[0] not in re.findall("`+", inner), "a run as long as the marks would end it"
    assert inner.strip() == " ".join(text.split())


def test_a_message_cannot_leave_its_fence() -> None:
    hostile = MODEL._replace(warnings=(Problem("loop.py", "```\n# @everybody look\n```"),))
    lines = to_markdown(CheckReport((hostile,), (), ())).splitlines()
    opened = lines.index("````text")
    assert lines[opened:].index("# @everybody look") < lines[opened:].index("````")
