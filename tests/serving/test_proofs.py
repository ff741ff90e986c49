"""A worker loads nothing whose signature or hashes do not hold, says which and why, and runs none of its code before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from flyball.ledger.note import Signer, version_text
from flyball.records import codec
from flyball.records.models import Manifest
from flyball.serving.layout import read_json, worker_name, write_json
from flyball.serving.proofs import Proof, check, shown, unproven
from flyball.serving.routes import FileRoutes
from flyball.training.artifact import unpack_code

from .conftest import SIGNATURES, Loans, Up, challenger, champion, eventually

REF = "credit@1.0.0"
MARK = "its code ran"


class Packed:
    """An artifact with the entry of its worker, and what the worker makes of both."""

    def __init__(self, loans: Loans, artifact: str) -> None:
        self.loans, self.artifact = loans, artifact
        self.manifest = codec.decode(loans.blobs.get(artifact), Manifest)
        proof = loans.proof(REF, artifact)
        self.entry: dict[str, Any] = {"ref": REF, "artifact": artifact, "note": proof.note, "keys": list(proof.keys)}

    def overwrite(self, digest: str, change: Callable[[bytes], bytes]) -> None:
        path = self.loans.blobs.path(digest)
        path.chmod(0o644)
        path.write_bytes(change(path.read_bytes()))

    def refused(self) -> str:
        """Why the worker ends; fails if it does not, or if the version's own code ran."""
        layout = self.loans.layout
        layout.prepare()
        write_json(layout.wanted_workers, [self.entry])
        argv = [sys.executable, "-P", "-m", "flyball.serving.worker", "--root", str(layout.root), "--ref", REF, "--artifact", self.artifact]
        ended = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert ended.returncode == 1, ended.stdout
        assert MARK not in ended.stdout
        assert "Traceback" not in ended.stderr
        return str(read_json(layout.failed(worker_name(REF, self.artifact)))["reason"])


@pytest.fixture
def packed(loans: Loans) -> Packed:
    return Packed(loans, loans.artifact(says=MARK))


def flipped(data: bytes) -> bytes:
    return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


@pytest.mark.process
def test_every_changed_file_of_an_artifact_is_refused_by_its_name(packed: Packed) -> None:
    files = {"its code": packed.manifest.code, "its declaration": packed.manifest.declaration, **packed.manifest.files}
    for name, digest in files.items():
        packed.overwrite(digest, flipped)
        assert f"{name} of artifact {packed.artifact[:12]}: blob {digest} is damaged" in packed.refused()
        packed.overwrite(digest, flipped)


@pytest.mark.process
def test_a_missing_file_of_an_artifact_is_refused_by_its_name(packed: Packed) -> None:
    digest = packed.manifest.files["model.skops"]
    packed.loans.blobs.path(digest).unlink()
    assert f"model.skops of artifact {packed.artifact[:12]}: blob {digest} is not in this machine's store" in packed.refused()


@pytest.mark.process
def test_a_changed_manifest_is_refused(packed: Packed) -> None:
    packed.overwrite(packed.artifact, flipped)
    assert f"the manifest of artifact {packed.artifact[:12]}: blob {packed.artifact} is damaged" in packed.refused()


@pytest.mark.process
def test_another_manifest_under_the_version_s_name_is_refused(packed: Packed) -> None:
    """Sound in itself, and never registered as this version: the signature is what tells."""
    other = packed.loans.artifact(says=MARK, seed=1)
    packed.artifact = packed.entry["artifact"] = other
    assert f"the signature of {REF} is on another version or manifest" in packed.refused()


@pytest.mark.process
def test_the_note_of_another_version_is_refused(packed: Packed) -> None:
    packed.entry["note"] = packed.loans.proof("credit@1.1.0", packed.artifact).note
    assert f"the signature of {REF} is on another version or manifest" in packed.refused()


@pytest.mark.process
def test_a_changed_note_is_refused(packed: Packed) -> None:
    packed.entry["note"] = packed.entry["note"].replace("credit@1.0.0", "credit@1.0.1")
    assert f"the signature of {REF} does not hold: a note's signature does not hold" in packed.refused()


@pytest.mark.process
def test_a_note_by_a_key_that_the_project_does_not_know_is_refused(packed: Packed) -> None:
    other = Signer("flyball/other", bytes(32))
    packed.entry["note"] = other.sign(version_text(REF, packed.artifact)).decode()
    assert f"the signature of {REF} does not hold: a note is signed by a key that is not known" in packed.refused()


@pytest.mark.process
def test_a_changed_key_is_refused(packed: Packed) -> None:
    packed.entry["keys"] = [packed.entry["keys"][0][:-4] + "AAA="]
    assert f"the signature of {REF} does not hold" in packed.refused()


@pytest.mark.process
def test_a_version_without_a_note_is_refused(packed: Packed) -> None:
    packed.entry = {"ref": REF, "artifact": packed.artifact}
    assert f"{REF} is not signed" in packed.refused()


@pytest.mark.process
def test_code_that_was_changed_where_it_is_unpacked_is_refused(packed: Packed) -> None:
    layout = packed.loans.layout
    folder = unpack_code(packed.manifest.code, packed.loans.blobs, layout.run / "code")
    (folder / "loop.py").write_text("print('another')")
    assert f"{folder / 'loop.py'} was changed" in packed.refused()


@pytest.mark.process
def test_a_refused_version_is_named_with_its_reason_and_the_champion_goes_on(loans: Loans, start: Callable[..., Up]) -> None:
    good, other = loans.artifact(), loans.artifact(seed=1)
    up = start(gateways=1)
    up.make(loans.route(champion(good)))
    table = loans.route(champion(good, 5_000), challenger(other, 5_000), epoch=2)
    forged = {REF: loans.proof(REF, good), "credit@1.1.0": loans.proof("credit@1.1.0", good)}

    def failed() -> dict[str, str]:
        up.routes.desire(table, 1, forged.__getitem__)
        return up.routes.status().failed

    said = eventually(failed, "the worker did not refuse")
    assert said == {"credit@1.1.0": said["credit@1.1.0"]}
    assert "the signature of credit@1.1.0 is on another version or manifest" in said["credit@1.1.0"]
    assert up.predict({"amount": 5.0, "age": 30}).json()["version"] == "1.0.0"


def test_a_version_that_is_signed_later_is_served_then(loans: Loans) -> None:
    """As after an update from a flyball that signed nothing: the list of workers follows the signature."""
    loans.signature = SIGNATURES["wins"]
    routes, table = FileRoutes(loans.layout.root), loans.route(champion("1" * 64))
    routes.desire(table, 1, unproven)
    assert shown(loans.layout, REF, "1" * 64) == Proof()
    routes.desire(table, 1, loans.proofs(table))
    check(REF, "1" * 64, shown(loans.layout, REF, "1" * 64))
    # and is not asked for again
    routes.desire(table, 1, unproven)
    check(REF, "1" * 64, shown(loans.layout, REF, "1" * 64))
