"""What a run is made with: Python, libraries, processor; and whether this process has the same.

A version's answers rest on the libraries that it was made with. Where another process has others, it says so: a warning, and no refusal, for most
differences change nothing, and the golden rows find those that do.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from flyball.compute.guardian import ONE_THREAD
from flyball.records.environment import Environment, changed
from flyball.records.models import Manifest
from flyball.store.blobs import Blobs

_ALWAYS = ("numpy", "polars", "scikit-learn", "scipy", "skops")


def libraries(snapshot: Mapping[str, str]) -> dict[str, str]:
    """Versions of the libraries that an artifact's answers depend on: what flyball reads and runs it with, and what its code imports.

    `snapshot`: path → text of the code. Files are parsed, never run; what is not installed, or is Python's own, is left out. None is listed that the lock of the
    same code would not hold (`lock.lock_of`): where a version runs in an environment of its own, that is what is compared.
    """
    wanted = {*_ALWAYS, *imported(snapshot)}
    return {name: version for name in sorted(wanted) if (version := installed(name)) is not None}


def imported(snapshot: Mapping[str, str]) -> set[str]:
    """The distributions whose modules the code imports, without Python's own, flyball and itself."""
    own = {PurePosixPath(path).parts[0].removesuffix(".py") for path in snapshot}
    modules = {name for path, text in snapshot.items() if path.endswith(".py") for name in _imports(text)}
    return {name for module in modules - own - sys.stdlib_module_names - {"flyball"} for name in _by_module().get(module, ())}


def environment(snapshot: Mapping[str, str], blobs: Blobs) -> Environment:
    """Where this process is, with a blob of everything that is installed."""
    lines = sorted({f"{each.name.lower()}=={each.version}" for each in importlib.metadata.distributions()})
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor(),
        processors=os.cpu_count() or 0,
        threads={name: os.environ.get(name, "") for name in ONE_THREAD},
        libraries=libraries(snapshot) | {"flyball": installed("flyball") or "not installed"},
        lock=blobs.put("".join(f"{line}\n" for line in lines).encode()),
    )


def differences(manifest: Manifest) -> tuple[str, ...]:
    """What this process has otherwise than the one that made an artifact, as "python 3.11 → 3.12"; empty: nothing that is recorded."""
    before = {"python": manifest.python, **manifest.libraries}
    return changed(before, {"python": python(), **{name: installed(name) for name in manifest.libraries}})


def python() -> str:
    """The version of Python on which pickles, bytecode and answers rest: "3.11"."""
    return ".".join(platform.python_version_tuple()[:2])


@lru_cache(maxsize=512)
def installed(name: str) -> str | None:
    """The version of a library; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name, as the system gives it: its instructions decide the last bits of a sum."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


@lru_cache(maxsize=1)
def _by_module() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _imports(text: str) -> set[str]:
    """The top names of what a file imports, wherever it does; none of one that cannot be parsed."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
