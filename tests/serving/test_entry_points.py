from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"polars", "numpy", "pandas", "sklearn", "scipy", "skops", "sqlalchemy", "sqlite3", "optuna", "pyarrow"}


def imported(module: str) -> set[str]:
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_a_gateway_imports_no_model_no_database_and_no_frame() -> None:
    assert not imported("flyball.serving.gateway") & HEAVY


@pytest.mark.parametrize("module", ["flyball.serving.supervisor"])
def test_the_supervisor_imports_the_standard_library_alone(module: str) -> None:
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    known = {name.partition(".")[0] for name in bare}
    assert imported(module) - known - set(sys.stdlib_module_names) <= {"flyball"}
