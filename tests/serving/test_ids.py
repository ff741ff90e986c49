from __future__ import annotations

import stat
from pathlib import Path

from flyball.serving.ids import Ids, load_key

KEY = b"k" * 32


def test_own_ids_verify_and_differ() -> None:
    ids = Ids(KEY, 0)
    made = [ids.new() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert not any(ids.is_forged(one) or ids.is_forged(f"{one}/3") for one in made)


def test_ids_sort_by_time() -> None:
    ids = Ids(KEY, 0)
    assert ids.new(1_000) < ids.new(1_001) < ids.new(2_000_000_000_000)


def test_a_changed_id_or_one_of_another_project_is_forged() -> None:
    own = Ids(KEY, 0).new()
    assert Ids(KEY, 0).is_forged(own[:5] + ("0" if own[5] != "0" else "1") + own[6:])
    assert Ids(b"x" * 32, 0).is_forged(own)
    assert Ids(KEY, 0).is_forged("p_nonsense")


def test_a_callers_own_id_is_not_forged() -> None:
    assert not Ids(KEY, 0).is_forged("order-17")


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "run" / "id.key"
    assert load_key(path) == load_key(path)
    assert len(load_key(path)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
