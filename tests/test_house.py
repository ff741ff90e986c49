"""The budgets of the house: what outgrows them fails here."""

import ast
from pathlib import Path

import pytest

from .conftest import LONG

SOURCE = Path(__file__).parent.parent / "src" / "flyball"
FILES = sorted(SOURCE.rglob("*.py"))


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_and_its_functions_stay_within_budget(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500, "a file has at most 500 lines"
    for function in functions(ast.parse(text)):
        size = (function.end_lineno or function.lineno) - function.lineno + 1
        assert size <= 60, f"{function.name} has {size} lines, at most 60"


def test_the_package_init_offers_at_most_its_budget_of_names_per_stage() -> None:
    for path in SOURCE.glob("*/__init__.py"):
        tree = ast.parse(path.read_text())
        names = [node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        assert len(names) <= 30, f"{path.parent.name}/__init__.py is a list of names, at most 30"


def test_the_median_file_is_small() -> None:
    sizes = sorted(path.read_text().count("\n") for path in FILES)
    assert sizes[len(sizes) // 2] <= 200


def test_no_file_catches_every_exception_without_saying_why() -> None:
    blanket = []
    for path in FILES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            names_all = (
                isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if names_all and "#" not in lines[node.lineno - 1]:
                blanket.append(f"{path.name}:{node.lineno}")
    assert blanket == []


def test_what_is_begun_first_because_it_takes_long_is_there() -> None:
    here = Path(__file__).parent
    assert [name for name in LONG if not (here / name).exists()] == []
