"""Loop files as code: imported by whoever must run it (a child that compiles, a job, a worker), never by the control plane.

A version carries a snapshot of the project files that its loop file imports; workers load from that, never from the working tree.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.declare.source import import_closure, is_project_file
from flyball.declare.units import near
from flyball.declare.views import FeatureView
from flyball.errors import NotFound


def load_model(folder: Path, file: str, name: str) -> Model:
    """Import `file` (relative to `folder`, which holds a code snapshot) and return its model `name`, with real functions.

    Raises NotFound if the file declares no such model, and whatever the file itself raises. Modules of another folder loaded
    before give way: their functions go on working, but import what they import inside themselves from the newer folder.
    """
    found = {model.name: model for _, model in models_of(load_module(folder, file))}
    if name not in found:
        raise NotFound(f'{file} declares no model "{name}"', fix=near(name, found))
    return found[name]


def load_module(folder: Path, file: str) -> ModuleType:
    """Import a loop file under its path as a module name, with `folder` first on the import path."""
    root = str(folder.resolve())
    for name, module in sys.modules.copy().items():
        home = getattr(module, "__file__", None)
        if home and is_project_file(home) and name != "__main__" and not home.startswith(f"{root}/") and _shadowed(folder, name):
            del sys.modules[name]
    for name in [name for name in sys.modules if _shadowed(folder, name) and getattr(sys.modules[name], "__file__", "") is None]:
        del sys.modules[name]  # a folder without __init__.py keeps the path it was first found under
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    importlib.invalidate_caches()
    return importlib.import_module(module_name(file))


def module_name(file: str) -> str:
    """`loops/price.py` is the module `loops.price`."""
    return file.removesuffix(".py").replace("/", ".")


def _shadowed(folder: Path, name: str) -> bool:
    base = folder.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or base.is_dir()


def models_of(module: ModuleType) -> Iterator[tuple[str, Model]]:
    """Every model at module level with the name that holds it, also in lists, tuples and dicts; each object once."""
    seen: set[int] = set()
    for name, value in vars(module).items():
        if name.startswith("__"):
            continue
        for item in _items(value):
            if isinstance(item, Model) and id(item) not in seen:
                seen.add(id(item))
                yield name, item


def named_in(modules: Iterable[ModuleType]) -> set[str]:
    """The views and data sets at module level, as `view:card` and `dataset:payments`, also in lists, tuples and dicts."""
    kinds = {FeatureView: "view", Dataset: "dataset"}
    values = (
        item for module in modules for name, value in list(vars(module).items()) if not name.startswith("__") for item in _items(value)
    )
    return {f"{kinds[type(item)]}:{item.name}" for item in values if isinstance(item, FeatureView | Dataset)}


def named_by(models: Iterable[Model]) -> set[str]:
    """The views that models use, and the data sets that they and these look at."""
    models = tuple(models)
    views = {f"view:{view.name}" for model in models for view in model.features}
    other = {f"dataset:{batch.source.name}" for model in models for batch in model.batch if isinstance(batch.source, Dataset)}
    return views | other | {f"dataset:{name}" for model in models for name in looked_at(model)}


def _items(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    return [value]


def snapshot(folder: Path, file: str) -> dict[str, str]:
    """Import a loop file and return every project file it imports, now or inside its functions, path to text. For a process of its own."""
    load_module(folder, file)
    root = folder.resolve()
    homes = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    loaded = sorted({Path(home).resolve() for home in homes if is_project_file(home)})
    own = import_closure(root, [path for path in loaded if path.is_relative_to(root)])
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(own) if path.is_relative_to(root)}
