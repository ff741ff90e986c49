import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flyball.clock import VirtualClock
from flyball.ledger.ledger import SqlLedger

KIT = Path(__file__).parent / "ledger_test_kit.py"


def load_kit() -> ModuleType:
    # under one name in every process: the name of a fold's module is part of the hash that names the folds
    if "ledger_test_kit" not in sys.modules:
        spec = importlib.util.spec_from_file_location("ledger_test_kit", KIT)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["ledger_test_kit"] = module
        spec.loader.exec_module(module)
    return sys.modules["ledger_test_kit"]


load_kit()


@pytest.fixture
def kit() -> ModuleType:
    return load_kit()


@pytest.fixture
def clock(kit: ModuleType) -> VirtualClock:
    return VirtualClock(kit.START)


@pytest.fixture
def ledger(tmp_path: Path, kit: ModuleType, clock: VirtualClock) -> SqlLedger:
    return kit.open_ledger(tmp_path, clock)
