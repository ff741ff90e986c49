"""A worker in its version's own environment: made from the lock with a real uv, and nothing else where that cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rfc8785

from flyball.errors import Refused, Unavailable
from flyball.records import codec
from flyball.records.models import Manifest
from flyball.serving import ownenv
from flyball.serving.routes import FileRoutes

from .conftest import Loans, champion, eventually

pytestmark = pytest.mark.process
ROW = {"amount": 100.0, "age": 60}
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not installed: pip install uv")


def changed(loans: Loans, artifact: str, lock: str | None) -> str:
    """The artifact with another lock."""
    plain = codec.plain(codec.decode(loans.blobs.get(artifact), Manifest))
    plain["lock"] = "" if lock is None else loans.blobs.put(lock.encode())
    return loans.blobs.put(rfc8785.dumps(plain))


def enter(loans: Loans, lock: str | None) -> None:
    ownenv.enter(loans.layout, "credit@1.0.0", changed(loans, loans.artifact(), lock), ["-c", "raise SystemExit('entered')"])


def test_a_version_of_before_there_were_locks_is_refused(loans: Loans):
    with pytest.raises(Refused, match="no environment of its own") as refused:
        enter(loans, None)
    assert "own_environments = 0" in refused.value.fix


def test_a_distribution_that_no_registry_has_is_named(loans: Loans):
    with pytest.raises(Refused, match="cannot be made again") as refused:
        enter(loans, "# house-rules==1.2 from file:///srv/house\nnumpy==2.0.0\n")
    assert "house-rules==1.2 from file:///srv/house" in refused.value.why


def test_without_uv_it_says_so(loans: Loans, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Unavailable, match="cannot be made") as missing:
        enter(loans, "msgspec==0.19.0\n")
    assert missing.value.why == "uv is not installed"


@needs_uv
def test_without_a_registry_it_says_so_and_leaves_nothing_that_counts(loans: Loans, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be made") as missing:
            enter(loans, "msgspec==0.19.0\n")
        assert "pip install failed" in missing.value.why
        shutil.rmtree(loans.root / "v00")


def test_a_worker_that_may_not_run_elsewhere_does_not_and_the_route_says_why(loans: Loans, start):
    running = start(gateways=1)
    running.routes = FileRoutes(loans.layout.root, own_environments=True)
    table = loans.route(champion(changed(loans, loans.artifact(), None)))

    def failed() -> str:
        running.routes.desire(table, 0, loans.proofs(table))
        return running.routes.status().failed.get("credit@1.0.0", "")

    assert "has no environment of its own" in eventually(failed, "the worker refuses")
    assert running.predict(ROW).status_code in {404, 503}


@needs_uv
def test_a_worker_answers_from_the_environment_of_its_lock(loans: Loans, start):
    if _unreachable(loans.root):
        pytest.skip("no registry can be reached from here")
    running = start(gateways=1)
    running.routes = FileRoutes(loans.layout.root, own_environments=True)
    running.make(loans.route(champion(loans.artifact())), within_s=400)
    answer = running.predict(ROW)
    assert answer.status_code == 200, answer.text
    (folder,) = (each for each in (loans.layout.root / "envs").iterdir() if each.is_dir())
    (log,) = loans.layout.output("x").parent.glob("*credit*")
    assert f"runs in its own environment: {folder}" in log.read_text()
    commands = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if _readable(each)]
    assert any(each.startswith(str(folder / "bin" / "python").encode()) and b"flyball.serving.worker" in each for each in commands)
    said = subprocess.run(
        [folder / "bin" / "python", "-c", "import polars; print(polars.__file__)"], capture_output=True, text=True, check=True
    )
    assert str(folder) in said.stdout

    running.stop()
    gone = next(folder.glob("lib/python*/site-packages/threadpoolctl-*.dist-info"))
    shutil.rmtree(gone)
    again = subprocess.run(
        [folder / "bin" / "python", "-P", "-m", "flyball.serving.worker", "--root", loans.layout.root, "--ref", "credit@1.0.0", "--artifact",
         codec.decode(loans.layout.routes.read_bytes(), dict)["table"]["models"]["credit"]["arms"][0]["artifact"]],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(folder / "flyball"), "PATH": ""},
    )  # fmt: skip
    assert again.returncode == 1
    assert "was changed" in again.stderr
    assert "threadpoolctl is missing" in again.stderr


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def _unreachable(root: Path) -> bool:
    argv = [UV or "uv", "pip", "install", "--dry-run", "--quiet", "--python", sys.executable, "--no-deps", "--reinstall", "msgspec"]
    return subprocess.run(argv, check=False, capture_output=True, cwd=root).returncode != 0
