"""The code of cells as source: of everything that was run in a notebook, what a model is made of, as the text of a loop file.

A notebook's cells run in any order and do other things as well. What is kept are the imports, functions, classes and assignments that the
model's name needs, each as it was written last, in the order in which they were run; calls, plots and magics are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from flyball.errors import BadInput

_MAGIC = re.compile(r"^\s*[%!?].*$|^.*\?\s*$", re.MULTILINE)


def loop_text(cells: Sequence[str], name: str) -> str:
    """The text of a loop file that binds `name` as these cells, in the order in which they were run, have left it.

    Raises BadInput where no cell binds it.
    """
    statements = [(node, text) for cell in cells for node, text in _statements(cell)]
    last: dict[str, int] = {}
    for place, (node, _) in enumerate(statements):
        last.update(dict.fromkeys(_bound(node), place))
    if name not in last:
        raise BadInput(
            f'no cell says what "{name}" is',
            why="a version carries the source of its code, and this name was bound by none of the cells that were run",
            fix=f"write {name} = fb.Model(…) in a cell, or in a loop file",
        )
    kept, wanted = set[int](), [name]
    while wanted:
        read = wanted.pop()
        if read in last and last[read] not in kept:
            kept.add(last[read])
            wanted += _read(statements[last[read]][0])
    return "\n\n".join(statements[place][1] for place in sorted(kept)) + "\n"


def _statements(cell: str) -> Iterator[tuple[ast.stmt, str]]:
    """The statements of a cell that bind names, each with its text; none of a cell that is no Python."""
    text = _MAGIC.sub("", cell)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    lines = text.splitlines()
    for node in tree.body:
        if isinstance(
            node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
        ):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(each.lineno for each in decorators)])
            yield node, "\n".join(lines[first - 1 : node.end_lineno])


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(each.asname or each.name).partition(".")[0] for each in node.names]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]


def _read(node: ast.stmt) -> list[str]:
    """The names that a statement reads, also within functions and by text annotations."""
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)]
    texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return names + [text for text in texts if text.isidentifier()]
