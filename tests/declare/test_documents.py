"""docs/loop-files.md says what there is: every name, every action, and an example that holds."""

from pathlib import Path

import pytest

import flyball as fb
from flyball.declare import problems
from flyball.declare.policy import ACTIONS, FAILURE_MODES

TEXT = (Path(__file__).parents[2] / "docs" / "loop-files.md").read_text()


@pytest.mark.parametrize("name", [*dir(fb), *ACTIONS, *FAILURE_MODES])
def test_every_name_is_documented(name: str) -> None:
    assert f"`{name}" in TEXT or f" {name}" in TEXT or f"({name}" in TEXT


def test_the_example_of_the_document_has_no_problems(module) -> None:
    example = TEXT.split("```python\n")[1].split("```")[0]
    assert problems.problems(module(example).price) == []
