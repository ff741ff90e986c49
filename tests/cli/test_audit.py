"""Proofs for people who have no flyball, and the record carried elsewhere."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flyball.cli import up
from flyball.errors import Conflict
from flyball.loop import restoring

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def trained(trained_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_project, tmp_path / "project"))


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checker of the docs, as its reader would copy it."""
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "ledger.md").read_text(), re.DOTALL) if "check.py" in block
    ]
    assert len(code.splitlines()) <= 30
    assert "import flyball" not in code
    file = tmp_path_factory.mktemp("stranger") / "check.py"
    file.write_text(code)
    return file


def checked(checker: Path, proof: object, vkey: str) -> subprocess.CompletedProcess[str]:
    file = checker.parent / "proof.json"
    file.write_text(json.dumps(proof))
    return subprocess.run([sys.executable, "-I", checker, file, vkey], capture_output=True, text=True, check=False)


def unproven(found: subprocess.CompletedProcess[str], lie: str) -> None:
    """Said in a line, not in a traceback."""
    assert (found.returncode, found.stdout) == (1, ""), lie
    assert found.stderr.startswith("NOT PROVEN: "), lie
    assert "Traceback" not in found.stderr, lie


def forged_signature(checkpoint: str) -> str:
    """The checkpoint with a signature that names the right key and is none of its own."""
    text, _, below = checkpoint.rpartition("\n\n")
    dash, name, signed = below.strip().split(" ")
    raw = base64.b64decode(signed)
    return f"{text}\n\n{dash} {name} {base64.b64encode(raw[:4] + bytes(64)).decode()}\n"


def test_a_stranger_checks_a_proof_with_the_code_of_the_docs(flyball, trained: Path, checker: Path, tmp_path: Path) -> None:
    assert flyball("audit", "export", tmp_path / "out", "--project", trained).code == 0
    vkey = (tmp_path / "out" / "keys.txt").read_text().strip()
    events = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    for seq in (1, 2, len(events)):
        proof = flyball("audit", "prove", seq, "--project", trained, "--json").document
        assert proof["event"] == events[seq - 1]
        found = checked(checker, proof, vkey)
        assert found.returncode == 0, found.stderr
        assert found.stdout.startswith(f"event {seq} of flyball/")


def test_a_stranger_is_not_deceived(flyball, trained: Path, checker: Path) -> None:
    proof = flyball("audit", "prove", 2, "--project", trained, "--json").document
    vkey = proof["vkey"]
    other = flyball("audit", "prove", 3, "--project", trained, "--json").document
    lies = {
        "another event": proof | {"event": proof["event"].replace("user:", "user:x", 1)},
        "another place": proof | {"seq": 3},
        "before the first": proof | {"seq": 0},
        "another path": proof | {"path": other["path"]},
        "a longer path": proof | {"path": [*proof["path"], proof["path"][0]]},
        "a shorter path": proof | {"path": proof["path"][:-1]},
        "another size": proof | {"checkpoint": re.sub(r"\n\d+\n", "\n7\n", proof["checkpoint"], count=1)},
        "a forged signature": proof | {"checkpoint": forged_signature(proof["checkpoint"])},
        "no checkpoint": {name: value for name, value in proof.items() if name != "checkpoint"},
    }
    for name, lie in lies.items():
        unproven(checked(checker, lie, vkey), name)
    # a key of one's own, under the same name: whoever takes the key from the proof is deceived, who has it from elsewhere is not
    from flyball.ledger.note import Signer

    forger = Signer(vkey.partition("+")[0], bytes(32))
    forged = proof | {"checkpoint": forger.sign(proof["checkpoint"].rpartition("\n\n")[0] + "\n").decode(), "vkey": forger.vkey}
    unproven(checked(checker, forged, vkey), "a key of one's own")


def test_a_proof_goes_to_a_file_and_what_cannot_be_proven_is_an_error(flyball, trained: Path, tmp_path: Path) -> None:
    ended = flyball("audit", "prove", 1, "--project", trained, "--out", tmp_path / "p.json")
    assert (ended.code, ended.out) == (0, "")
    assert json.loads((tmp_path / "p.json").read_bytes())["seq"] == 1
    ended = flyball("audit", "prove", 4000, "--project", trained, "--json")
    assert (ended.code, ended.document["code"]) == (1, "not-found")
    assert flyball("audit", "prove", 0, "--project", trained).code == 2


def test_a_kept_checkpoint_is_the_beginning_of_todays_record(flyball, trained: Path, tmp_path: Path) -> None:
    flyball("audit", "export", tmp_path / "out", "--project", trained)
    kept = tmp_path / "out" / "checkpoints.txt"
    (trained / "loop.py").write_text((trained / "loop.py").read_text() + "\n# later\n")
    assert flyball("apply", "--project", trained).code == 0
    proof = flyball("audit", "consistency", kept, "--project", trained, "--json").document
    assert proof["format"] == "flyball-consistency/1"
    assert proof["old"] != proof["new"]
    assert flyball("audit", "verify", "--against", kept, "--project", trained).code == 0


def test_a_cut_off_record_is_found_by_the_anchor_file_alone(
    flyball, trained_project: Path, trained: Path, tmp_path: Path, monkeypatch
) -> None:
    anchor = tmp_path / "elsewhere.txt"
    monkeypatch.setenv("FLYBALL_ANCHOR_FILE", str(anchor))
    monkeypatch.setenv("FLYBALL_CHECKPOINT_EVENTS", "1")
    assert flyball("tick", "--project", trained).code == 0
    assert anchor.read_text().startswith("flyball/")
    assert flyball("audit", "verify", "--project", trained).code == 0
    # whoever can write the project puts back what it was before
    shutil.copyfile(trained_project / ".flyball" / "ledger.db", trained / ".flyball" / "ledger.db")
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (trained / ".flyball" / name).unlink(missing_ok=True)
    monkeypatch.setenv("FLYBALL_ANCHOR_FILE", "")
    assert flyball("audit", "verify", "--project", trained).code == 0, "the record itself is whole"
    monkeypatch.setenv("FLYBALL_ANCHOR_FILE", str(anchor))
    ended = flyball("audit", "verify", "--project", trained, "--json")
    assert ended.code == 1
    assert any(str(anchor) in each["where"] and each["event"] is None for each in ended.document["problems"])


def test_a_backup_is_restored_into_a_new_project_and_verified(flyball, trained: Path, new_project: Path, tmp_path: Path) -> None:
    made = flyball("backup", tmp_path / "kept", "--project", trained, "--json").document
    assert made["events"] > 0
    assert made["blobs"] > 0
    fresh = Path(shutil.copytree(new_project, tmp_path / "fresh"))
    ended = flyball("restore", tmp_path / "kept", "--project", fresh, "--json")
    assert ended.code == 0, ended.out
    assert ended.document["audit"]["events"] == made["events"]
    versions = [flyball("models", "--project", each, "--json").document for each in (trained, fresh)]
    assert versions[0] == versions[1]
    assert flyball("audit", "prove", made["events"], "--project", fresh).code == 0, "it has a key of its own"
    assert flyball("audit", "verify", "--project", fresh).code == 0
    (trained / "loop.py").write_text((trained / "loop.py").read_text() + "\n# later\n")
    assert flyball("apply", "--project", trained).code == 0
    flyball("backup", tmp_path / "later", "--project", trained)
    again = flyball("restore", tmp_path / "later", "--project", fresh, "--json")
    assert (again.code, again.document["code"]) == (1, "not-empty")


def test_a_backup_is_restored_again_into_the_same_project_and_mends_what_was_damaged_since(
    flyball, trained: Path, new_project: Path, tmp_path: Path
) -> None:
    flyball("backup", tmp_path / "kept", "--project", trained)
    fresh = Path(shutil.copytree(new_project, tmp_path / "fresh"))
    assert flyball("restore", tmp_path / "kept", "--project", fresh).code == 0
    events = flyball("audit", "verify", "--project", fresh, "--json").document["events"]
    blobs = sorted(each for each in (fresh / ".flyball" / "blobs").rglob("*") if each.is_file())
    blobs[0].unlink()
    blobs[1].chmod(0o644)
    blobs[1].write_bytes(b"x")
    assert flyball("audit", "verify", "--project", fresh).code == 1
    assert flyball("restore", tmp_path / "kept", "--project", fresh).code == 0
    verified = flyball("audit", "verify", "--project", fresh, "--json")
    assert (verified.code, verified.document["events"]) == (0, events)


def test_flyball_begins_nothing_where_a_restore_was_killed_until_it_is_done_again(
    flyball, trained: Path, new_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def shows(*verb: str) -> Any:
        return flyball(*verb, "--project", fresh, "--json")

    def begun(*_: object) -> int:
        raise Conflict("it begins")

    flyball("backup", tmp_path / "kept", "--project", trained)
    fresh = Path(shutil.copytree(new_project, tmp_path / "fresh"))
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "load", killed)
        patched.setattr(restoring, "_settle", lambda *_: None)
        assert flyball("restore", tmp_path / "kept", "--project", fresh).code == 130
    monkeypatch.setattr(up, "take_lock", begun)
    refused = flyball("up", "--project", fresh, "--json")
    assert (refused.code, refused.document["code"]) == (1, "restoring")
    assert "flyball restore DIR again" in refused.document["fix"]
    for verb in (("apply",), ("train", "demand"), ("gc",), ("token", "create", "bo", "--role", "viewer")):
        refused = shows(*verb)
        assert (refused.code, refused.document["code"]) == (1, "restoring"), verb
    assert shows("status").code == 0
    assert shows("audit", "verify").document["events"] == 0
    assert flyball("restore", tmp_path / "kept", "--project", fresh).code == 0
    assert "it begins" in flyball("up", "--project", fresh).err


def test_a_backup_is_brought_up_to_date_and_holds_no_key_that_signs(flyball, trained: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = flyball("backup", kept, "--project", trained, "--json").document
    (trained / "loop.py").write_text((trained / "loop.py").read_text() + "\n# later\n")
    assert flyball("apply", "--project", trained).code == 0
    second = flyball("backup", kept, "--project", trained, "--json").document
    assert second["events"] > first["events"]
    secret = (trained / ".flyball" / "keys" / "ledger.key").read_bytes()
    assert [file for file in kept.rglob("*") if file.is_file() and secret[:40] in file.read_bytes()] == []
    assert kept.stat().st_mode & 0o077 == 0
    assert len(list(kept.glob("record-*"))) == 1, "the record of the earlier one is gone"


def test_a_backup_that_others_can_read_says_so(flyball, trained: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    assert "others can read" not in flyball("backup", kept, "--project", trained).err
    (kept / "blobs").chmod(0o755)
    assert "others can read" in flyball("backup", kept, "--project", trained).err


def test_a_backup_that_is_not_finished_leaves_the_earlier_one_as_it_was(flyball, trained: Path, new_project: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = flyball("backup", kept, "--project", trained, "--json").document
    (trained / "loop.py").write_text((trained / "loop.py").read_text() + "\n# later\n")
    assert flyball("apply", "--project", trained).code == 0
    # the newest blob, which the earlier backup has not, is damaged
    files = [each for each in (trained / ".flyball" / "blobs").rglob("*") if each.is_file()]
    newest = max(files, key=lambda each: each.stat().st_mtime_ns)
    newest.chmod(0o644)
    newest.write_bytes(b"x" + newest.read_bytes())
    assert flyball("backup", kept, "--project", trained, "--json").document["code"] == "corrupt"
    fresh = Path(shutil.copytree(new_project, tmp_path / "fresh"))
    ended = flyball("restore", kept, "--project", fresh, "--json")
    assert ended.code == 0, ended.out
    assert ended.document["audit"]["events"] >= first["events"]


@pytest.mark.parametrize("damage", ["events", "file", "blob", "mark", "none"])
def test_a_damaged_backup_is_refused_and_leaves_the_project_empty(
    flyball, trained: Path, new_project: Path, tmp_path: Path, damage: str
) -> None:
    kept = tmp_path / "kept"
    flyball("backup", kept, "--project", trained)
    if damage == "events":
        [file] = kept.glob("record-*/events.jsonl")
        file.write_bytes(file.read_bytes().replace(b"declaration", b"decIaration", 1))
    elif damage == "file":
        [file] = kept.glob("record-*/keys.txt")
        file.unlink()
    elif damage == "blob":
        file = next(each for each in sorted((kept / "blobs").rglob("*")) if each.is_file())
        file.chmod(0o644)
        file.write_bytes(b"x" + file.read_bytes())
    elif damage == "mark":
        (kept / "backup.json").write_text("{}")
    else:
        (kept / "backup.json").unlink()
    fresh = Path(shutil.copytree(new_project, tmp_path / "fresh"))
    ended = flyball("restore", kept, "--project", fresh, "--json")
    assert ended.code == 1
    assert ended.document["code"] in ("corrupt", "not-found")
    assert flyball("audit", "verify", "--project", fresh, "--json").document["events"] == 0


def test_a_backup_overwrites_nothing_else(flyball, trained: Path, new_project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert flyball("backup", tmp_path / "mine", "--project", trained, "--json").document["code"] == "not-empty"
    flyball("backup", tmp_path / "kept", "--project", trained)
    other = Path(shutil.copytree(new_project, tmp_path / "other"))
    assert flyball("apply", "--project", other).code == 0
    assert "another record" in flyball("backup", tmp_path / "kept", "--project", other, "--json").document["detail"]
    inside = flyball("backup", trained / ".flyball" / "kept", "--project", trained, "--json")
    assert inside.document["code"] == "bad-input"


def test_a_viewer_proves_what_has_a_checkpoint_and_is_told_to_wait_for_one(
    flyball, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    viewer = flyball("token", "create", "vera", "--role", "viewer", "--project", trained, "--json").document["secret"]
    last = flyball("token", "create", "bo", "--role", "viewer", "--project", trained, "--json").document["event"]
    monkeypatch.setenv("FLYBALL_TOKEN", viewer)
    ended = flyball("audit", "prove", last, "--project", trained)
    assert (ended.code, ended.out) == (3, "")
    assert f"event {last} has no checkpoint yet" in ended.err
    assert "the loop signs one" in ended.err
    assert "ask a scientist, an operator or an admin" in ended.err
    assert "Drive" not in ended.err
    monkeypatch.delenv("FLYBALL_TOKEN")
    assert flyball("audit", "export", tmp_path / "out", "--project", trained).code == 0
    monkeypatch.setenv("FLYBALL_TOKEN", viewer)
    assert flyball("audit", "prove", last, "--project", trained).code == 0
    assert flyball("audit", "consistency", tmp_path / "out" / "checkpoints.txt", "--project", trained).code == 0
    assert flyball("audit", "prove", last + 1, "--project", trained).code == 1, "what is not there will not be there later"


def test_a_backup_names_what_the_project_has_lost_and_is_made(flyball, trained: Path, tmp_path: Path) -> None:
    blobs = trained / ".flyball" / "blobs"
    gone = next(each for each in sorted(blobs.rglob("*")) if each.is_file())
    gone.unlink()
    ended = flyball("backup", tmp_path / "kept", "--project", trained, "--json")
    digest = f"{gone.parent.name}{gone.name}"
    assert (ended.code, ended.document["only_here"], ended.document["lost"]) == (1, [], [digest])
    ended = flyball("backup", tmp_path / "kept", "--project", trained)
    assert (ended.code, digest in ended.out, "no copy" in ended.out) == (1, True, True)


@pytest.mark.parametrize("text", [b"", b"root:x:0:0\n", b"\xff\n\n", b"a\nb\nc\n\n"])
def test_a_file_that_holds_no_checkpoint_is_the_callers_and_no_damage(flyball, trained_project: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "given").write_bytes(text)
    ended = flyball("audit", "consistency", tmp_path / "given", "--project", trained_project, "--json")
    assert (ended.code, ended.document["code"]) == (1, "bad-input")
    assert str(tmp_path / "given") in ended.document["detail"]
    assert "audit export" in ended.document["fix"]


@pytest.mark.parametrize("verb", [("verify", "--against"), ("consistency",)], ids=" ".join)
def test_a_file_of_checkpoints_that_is_not_there_is_named_with_what_named_it(
    flyball, trained_project: Path, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    option = verb[-1] if len(verb) > 1 else "FILE"
    ended = flyball("audit", *verb, tmp_path / "none.txt", "--project", trained_project, "--json")
    assert (ended.code, ended.document["code"]) == (1, "not-found")
    assert ended.document["detail"] == f"{option} {tmp_path / 'none.txt'} does not exist"
    ended = flyball("audit", *verb, tmp_path, "--project", trained_project, "--json")
    assert (ended.code, ended.document["code"]) == (1, "bad-input")
    assert option in ended.document["detail"]
