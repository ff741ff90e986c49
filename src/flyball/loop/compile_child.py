"""The child that imports one loop file and says what it declares, as one JSON document, the last line of what it writes. Nothing else ever imports a loop file to read it.

Run as `python -P -m flyball.loop.compile_child ROOT FILE [made|data]`, the last to prove transforms on a sample; the document goes to what was standard output, and whatever
the file prints goes nowhere. The child ends itself when the document is written, threads of the file or not.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import flyball
from flyball.declare import code, codec
from flyball.declare.model import Model
from flyball.declare.problems import problems
from flyball.declare.source import is_project_file
from flyball.declare.units import near
from flyball.errors import DeclarationError, FlyballError, Problem

MEMORY = 8 * 2**30
"""Bytes of data a loop file may take while it is imported: a declaration holds none, its libraries a few hundred megabytes."""
_UNKNOWN = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")
EXTRAS = {"lightgbm": "lightgbm", "xgboost": "xgboost", "torch": "torch", "pandas": "pandas", "onnxruntime": "onnxruntime"}


NICER = 10
"""How much this process stands back: where the processor is short, those who answer requests go first."""


def main(arguments: list[str]) -> int:
    """Compile one file; the exit code is 0 whenever a document was written."""
    root, file = Path(arguments[0]), arguments[1]
    with os.fdopen(os.dup(1), "wb") as answer, Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.nice(NICER)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))

        def tell(line: dict[str, Any]) -> None:
            answer.write(json.dumps(line).encode() + b"\n")
            answer.flush()

        try:
            document = compile_file(root, file, prove=arguments[2] if len(arguments) > 2 else "", tell=tell)
        except Exception as error:  # noqa: BLE001 - what a file does is caught where it runs: this is a fault of ours, and must not be laid on it
            document = {"models": [], "problems": [_plain(_own_fault(file, error))]}
        tell(document)
    return 0


def compile_file(root: Path, file: str, *, prove: str = "", tell: Callable[[dict[str, Any]], None] = lambda _line: None) -> dict[str, Any]:
    """Import a loop file and describe its models: `models` (the fields of Compiled), `problems` of the file, and `doubts` by model.

    `named` are the views and data sets that it and what it imports declare, `used` those that models there use. `tell` hears of each model
    whose data are about to be read: what runs then may end the process.
    """
    if "." in Path(file).stem:
        wrong_name = Problem(f"{file}:1", "a loop file's name cannot hold a dot", "it is imported as a module", "rename it, with - or _")
        return {"models": [], "problems": [_plain(wrong_name)]}
    made = _record_places()
    try:
        taken = code.snapshot(root, file)
        module = sys.modules[code.module_name(file)]
    except BaseException as error:  # noqa: BLE001 - a user's file runs here: anything may come out of it, exits included
        return {"models": [], "problems": [_plain(_import_problem(root, file, error))]}
    models, wrong, doubts = [], [], {}
    for _, model in code.models_of(module):
        place_file, line = made.get(id(model), (file, 1))
        if place_file != file:
            continue  # another loop file's model, imported from there
        place = f"{file}:{line}"
        found = problems(model, place=place)
        try:
            body = codec.encode(model)
        except DeclarationError as error:
            wrong.append(Problem(f'{place}  Model "{model.name}"', error.what, error.why, error.fix))
            continue
        wrong += found
        if prove and not found:
            tell({"at": f'{place}  Model "{model.name}"'})
            unproven = _proof(model, root, place, from_data=prove == "data")
            wrong += unproven
            if prove == "data" and not unproven:
                doubts[model.name] = [_plain(item) for item in _doubts(model, root, place)]
        digests = {f"{name}_digest": digest for name, digest in codec.digests(body)._asdict().items()}
        models.append({"model": model.name, "file": file, "line": line, **digests, "body": body, "code": taken})
    own = [each for each in list(sys.modules.values()) if _home(each, root) in taken]
    named, used = code.named_in(own), code.named_by(model for each in own for _, model in code.models_of(each))
    return {
        "models": models,
        "problems": [_plain(item) for item in wrong],
        "doubts": doubts,
        "named": sorted(named),
        "used": sorted(used),
    }


def _home(module: ModuleType, root: Path) -> str:
    """The path of a module's file within the project; empty for one from elsewhere."""
    home = Path(getattr(module, "__file__", None) or "")
    return home.resolve().relative_to(root.resolve()).as_posix() if home.resolve().is_relative_to(root.resolve()) else ""


def _plain(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "why": problem.why, "fix": problem.fix}


def _own_fault(file: str, error: Exception) -> Problem:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Problem(
        f"{file}:1",
        f"flyball failed at this file: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
        f"a fault of its own, in {Path(last.filename).name}:{last.lineno}",
        "report it, with the file",
    )


def _record_places() -> dict[int, tuple[str, int]]:
    """Note for every model the file and line whose reading made it. Only this child does so: a declaration knows no place."""
    made: dict[int, tuple[str, int]] = {}
    kept: list[Model] = []  # an id stays a model's own only while the model lives
    construct = Model.__init__

    @functools.wraps(construct)
    def noting(self: Model, *arguments: Any, **named: Any) -> None:
        construct(self, *arguments, **named)
        kept.append(self)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        if frame is not None:
            home = frame.f_code.co_filename
            with contextlib.suppress(ValueError):
                made[id(self)] = (Path(home).resolve().relative_to(Path(sys.path[0])).as_posix(), frame.f_lineno)

    Model.__init__ = noting  # type: ignore[method-assign]  # in this child alone
    return made


def _import_problem(root: Path, file: str, error: BaseException) -> Problem:
    place = _place(root, file, error)
    if isinstance(error, FlyballError):
        return Problem(place, error.what, error.why, error.fix)
    if isinstance(error, SyntaxError):
        home = Path(error.filename or file)
        shown = home.resolve().relative_to(root.resolve()).as_posix() if home.resolve().is_relative_to(root.resolve()) else file
        return Problem(f"{shown}:{error.lineno or 1}", f"syntax error: {error.msg}", (error.text or "").strip())
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top in EXTRAS:
            return Problem(place, f'the library "{top}" is not installed', "the file imports it", f"pip install {EXTRAS[top]}")
        return Problem(
            place, f'there is no module "{error.name}"', "the file imports it", "install the library, or add the file to the project"
        )
    if isinstance(error, ImportError):
        return Problem(place, str(error), "the file imports it")
    if isinstance(error, SystemExit):
        return Problem(place, "the file ends the process", "importing a loop file has no effect", "take the exit out of it")
    if isinstance(error, MemoryError):
        return Problem(
            place, "the file runs out of memory while it is imported", "importing a loop file has no effect", "load no data in it"
        )
    unknown = _UNKNOWN.search(str(error)) if isinstance(error, TypeError) else None
    if unknown:
        return _unknown_argument(place, unknown.group(1), unknown.group(2))
    return Problem(place, f"{type(error).__name__}: {error}", "the file raises while it is imported")


def _unknown_argument(place: str, called: str, argument: str) -> Problem:
    owner = called.removesuffix(".__init__")
    target = getattr(flyball, owner.partition(".")[0], None)
    for part in owner.split(".")[1:]:
        target = getattr(target, part, None)
    names = [name for name in inspect.signature(target).parameters if name != "self"] if callable(target) else []
    return Problem(place, f'{owner} has no argument "{argument}"', "", near(argument, names) if names else "")


def _place(root: Path, file: str, error: BaseException) -> str:
    """The innermost line of a loop file, or of the project, on the way to the error."""
    found = f"{file}:1"
    for frame in traceback.extract_tb(error.__traceback__):
        home = Path(frame.filename)
        if home.is_absolute() and home.is_relative_to(root.resolve()) and is_project_file(frame.filename):
            found = f"{home.relative_to(root.resolve()).as_posix()}:{frame.lineno}"
    return found


def _proof(model: Model, root: Path, place: str, *, from_data: bool) -> list[Problem]:
    """Transforms, and the expressions of views, give the same for a whole frame as row by row, on a sample."""
    from flyball.features.rowwise import prove
    from flyball.features.viewproof import prove_view
    from flyball.loop.sample import sample

    rows: dict[str, Any] = {}
    try:
        for data in (model.data, *(view.data for view in model.features)):
            if data.name not in rows:
                rows[data.name] = sample(data, root, from_data=from_data)
        found = [problem for view in model.features for problem in prove_view(view, rows[view.data.name])]
        # a transform on values that are no values proves nothing
        found += [] if found else prove(model, rows[model.data.name])
    except FlyballError as error:
        return [Problem(f'{place}  Model "{model.name}"', error.what, error.why, error.fix)]
    return [Problem(f'{place}  Model "{model.name}"', item.what, item.why, item.fix) for item in found]


def _doubts(model: Model, root: Path, place: str) -> list[Problem]:
    """What of the data gives the answer away, and what no run can be made of. Nothing where they cannot be read: that is told by who reads them for their contract."""
    from flyball.data.source import read
    from flyball.features.leakage import leaks
    from flyball.training.enough import shortfalls

    where = f'{place}  Model "{model.name}"'
    try:
        frames = {data.name: read(data, root) for data in (model.data, *(view.data for view in model.features))}
        return [*shortfalls(model, frames, where), *leaks(model, frames, where)]
    except FlyballError:
        return []


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    os._exit(ended)  # threads that the file has started would keep the child alive
