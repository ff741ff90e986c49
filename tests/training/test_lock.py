"""A version's lock names what its code needs, at the versions that are installed, and nothing else."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import rfc8785
from packaging.utils import canonicalize_name

from flyball.records import codec
from flyball.records.models import Manifest
from flyball.training import artifact, environment, lock
from flyball.training.run import perform

SKLEARN = {
    "loops/a.py": "import flyball as fb\nimport helper\nfrom sklearn.linear_model import LogisticRegression\n",
    "helper.py": "import json",
}


def names(text: str) -> list[str]:
    return [line.removeprefix("# ").partition("==")[0] for line in text.splitlines()]


def test_every_line_is_what_is_installed_in_order_and_once():
    found = lock.lock_of(SKLEARN)
    assert names(found) == sorted(set(names(found)))
    for line in found.splitlines():
        name, _, version = line.partition("==")
        assert importlib.metadata.version(name) == version


def test_what_the_code_imports_comes_with_all_that_it_requires():
    pytest.importorskip("lightgbm", reason="the extra boosters is not installed")
    without, found = names(lock.lock_of(SKLEARN)), names(lock.lock_of(SKLEARN | {"helper.py": "import os\nimport lightgbm as lgb"}))
    assert set(found) - set(without) == {"lightgbm"}
    assert {"scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl"} <= set(found)


@pytest.mark.parametrize("code", ["", "import lightgbm as lgb", "import xgboost"])
def test_every_library_that_a_version_is_said_to_rest_on_is_in_its_lock(code):
    snapshot = SKLEARN | {"helper.py": code}
    recorded = {canonicalize_name(name) for name in environment.libraries(snapshot)}
    assert recorded <= set(names(lock.lock_of(snapshot))), "what runs in an environment made from the lock would differ from it"
    assert ("lightgbm" in recorded) == ("lightgbm" in code)


def test_what_flyball_itself_needs_is_in_it_and_what_only_tests_need_is_not():
    found = names(lock.lock_of({"a.py": ""}))
    assert {"polars", "msgspec", "skops", "uvicorn"} <= set(found)
    assert not {"pytest", "ruff", "hypothesis", "flyball"} & set(found)


def test_distributions_that_a_form_needs_are_added():
    assert set(names(lock.lock_of(SKLEARN, ("pytest",)))) >= {"pytest", "pluggy"}


def test_one_that_was_installed_from_a_folder_is_named_as_such(monkeypatch, tmp_path: Path):
    home = tmp_path / "site" / "house_rules-1.2.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1.2\n")
    (home / "direct_url.json").write_text('{"url": "file:///srv/house", "dir_info": {}}')
    (home / "top_level.txt").write_text("house\n")
    (home / "RECORD").write_text("house/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    lock._installed.cache_clear()
    environment._by_module.cache_clear()
    try:
        found = lock.lock_of({"a.py": "import house"})
    finally:
        lock._installed.cache_clear()
        environment._by_module.cache_clear()
    assert "# house-rules==1.2 from file:///srv/house" in found.splitlines()


def test_a_version_keeps_its_lock_and_one_of_before_has_none(price, tmp_path: Path):
    made = perform(price.spec(), price.model, price.frames, price.blobs).result
    manifest = artifact.manifest_of(made.artifact, price.blobs)
    assert "scikit-learn==" in price.blobs.get(manifest.lock).decode()
    plain = codec.plain(manifest)
    del plain["lock"]
    before = price.blobs.put(rfc8785.dumps(plain))
    assert codec.decode(price.blobs.get(before), Manifest).lock == ""
    assert artifact.load(before, price.blobs, tmp_path / "scratch").golden is not None


def test_a_lock_that_was_changed_is_found(price):
    made = perform(price.spec(), price.model, price.frames, price.blobs).result
    path = price.blobs.path(artifact.manifest_of(made.artifact, price.blobs).lock)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"evil==1.0\n")
    with pytest.raises(artifact.Corrupt, match="its lock"):
        artifact.verify(made.artifact, price.blobs)
