"""A worker in the environment that its version was made in: rebuilt from the version's lock with uv, once, under `.flyball/envs`.

A version that is to run in its own environment runs in no other: where that cannot be made, the worker ends and says why. flyball itself is the one that
runs here, for gateway and worker must be of one kind; it is linked into the environment, and its libraries are the lock's.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flyball.errors import Corrupt, Refused, Unavailable
from flyball.records import codec
from flyball.records.models import Manifest
from flyball.serving.layout import Layout, read_json, write_atomically
from flyball.store.blobs import LocalBlobs

_BUILD_S: Final = 600.0
_OFF: Final = "or set own_environments = 0 in flyball.toml: its worker then runs in flyball's own"
_WHOLE: Final = "whole"


def wanted(layout: Layout, ref: str, artifact: str) -> bool:
    """Whether this worker is to run in its version's own environment, as its entry in run/workers.json says."""
    listed = read_json(layout.wanted_workers)
    entries = (one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict))
    return any(one.get("own") is True for one in entries if (one.get("ref"), one.get("artifact")) == (ref, artifact))


def enter(layout: Layout, ref: str, artifact: str, argv: Sequence[str]) -> None:
    """Go on as `python argv` in the version's environment, which is made first where it is not there; return where this process is in it already.

    The artifact's signature was checked. Raises Refused, Unavailable (uv or a registry is not there), Corrupt (it is not what the lock says).
    """
    blobs = LocalBlobs(layout.blobs)
    blobs.check(artifact)
    manifest = codec.decode(blobs.get(artifact), Manifest)
    if not manifest.lock:
        raise Refused(
            f"{ref} has no environment of its own", why="it was made before environments were locked", fix=f"train it again, {_OFF}"
        )
    blobs.check(manifest.lock)
    lock = blobs.get(manifest.lock).decode()
    folder = layout.root / "envs" / f"{manifest.lock[:32]}-py{manifest.python}"
    if Path(sys.prefix).resolve() == folder.resolve():
        _same(ref, lock, manifest.python)
        return
    python = _made(ref, folder, lock, manifest.python)
    env = {**os.environ, "PYTHONPATH": str(_flyball(folder)), "PYTHONNOUSERSITE": "1"}
    print(f"{ref} runs in its own environment: {folder}", flush=True)
    os.execve(str(python), [str(python), *argv], env)  # noqa: S606 - the interpreter of the environment itself


def _made(ref: str, folder: Path, lock: str, version: str) -> Path:
    """The Python of the environment."""
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if (folder / _WHOLE).exists():
            return python
        elsewhere = [line.removeprefix("# ") for line in lock.splitlines() if line.startswith("#")]
        if elsewhere:
            why = f"it was made with {elsewhere[0]}, which no registry has"
            raise Refused(
                f"the environment of {ref} cannot be made again", why=why, fix=f"install it from a registry and train again, {_OFF}"
            )
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if uv is None:
            raise Unavailable(f"the environment of {ref} cannot be made", why="uv is not installed", fix=f"pip install uv, {_OFF}")
        shutil.rmtree(folder, ignore_errors=True)
        _run(ref, [uv, "venv", "--quiet", "--python", version, str(folder)])
        requirements = folder / "requirements.txt"
        requirements.write_text(lock)
        # the lock is whole: nothing else is to be found out, and nothing else comes in
        _run(ref, [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), "--requirement", str(requirements)])
        write_atomically(folder / _WHOLE, b"")
    return python


def _run(ref: str, argv: Sequence[str]) -> None:
    try:
        ended = subprocess.run(argv, check=False, capture_output=True, timeout=_BUILD_S)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the environment of {ref} was not made within {_BUILD_S:.0f} s", why=" ".join(argv[:3]), fix=_OFF) from None
    if ended.returncode:
        said = " ".join(ended.stderr.decode("utf-8", "replace").split())
        raise Unavailable(
            f"the environment of {ref} cannot be made",
            why=f"{' '.join(argv[1:3])} failed: {said[:400]}",
            fix=f"let uv reach a registry that has what the lock names (UV_DEFAULT_INDEX), {_OFF}",
        )


def _flyball(folder: Path) -> Path:
    """A folder that holds nothing but this flyball: what stands beside it here is not the version's."""
    link = folder / "flyball" / "flyball"
    link.parent.mkdir(exist_ok=True)
    package = Path(__file__).resolve().parent.parent
    if not link.is_symlink() or link.resolve() != package:
        scratch = link.with_name(f".{os.getpid()}")
        scratch.symlink_to(package)
        scratch.replace(link)
    return link.parent


def _same(ref: str, lock: str, version: str) -> None:
    """Raise Corrupt where this environment is not what the lock says."""
    found = {re.sub(r"[-_.]+", "-", each.name.lower()): each.version for each in importlib.metadata.distributions() if each.name}
    pinned: Mapping[str, str] = dict(line.split("==", 1) for line in lock.splitlines())
    wrong = [f"{name} {found.get(name, 'is missing')}, not {wants}" for name, wants in pinned.items() if found.get(name) != wants]
    if ".".join(platform.python_version_tuple()[:2]) != version:
        wrong.insert(0, f"Python {platform.python_version()}, not {version}")
    if wrong:
        raise Corrupt(f"the environment of {ref} was changed", why="; ".join(wrong[:5]), fix=f"remove {sys.prefix}: it is made anew")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of several workers one makes an environment; the others wait for it."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
