"""A backup brought into a project whose record is empty. All that can be checked is checked first, and the record comes last, in one transaction:
what is refused or fails leaves nothing but blobs, what is killed leaves no record, so that it is done again, with this backup or another.

Meanwhile nothing else runs here: the project's lock is held, and `flyball up` begins nothing where a restore was killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flyball.errors import Conflict, Corrupt, NotFound
from flyball.ledger.export import lines, load
from flyball.ledger.ledger import SqlLedger
from flyball.loop.backup import BLOBS, MARK, Backup, Kept, copy, held, read, sha256_of
from flyball.serving import wal
from flyball.serving.layout import Layout, read_json, write_json
from flyball.serving.supervisor import take_lock
from flyball.store.blobs import Blobs, LocalBlobs


def restore(ledger: SqlLedger, blobs: Blobs, layout: Layout, folder: Path) -> Backup:
    """Bring a backup into a project whose record is empty. Killed on the way, it is done again from the start.

    Where the record is this very one, what is missing beside it is brought. Returns what the backup holds. Raises NotFound (no backup there),
    Conflict (another record is here, something runs here, or a backup is being written there), Corrupt (the backup is damaged), Unavailable,
    OSError.
    """
    with held(folder), _alone(layout):
        made = read(folder)
        head = ledger.head()
        is_there = head.size > 0 and (head.size, head.root.hex()) == (made.record.events, made.record.root)
        if head.size and not is_there:
            raise Conflict(
                "this project has a record already",
                why="a restore would lose it",
                fix="make a new project: flyball init DIR",
                code="not-empty",
            )
        files = _beside(folder, made, layout)
        if is_there:
            missing = {target: source for target, source in files.items() if not target.exists()}
            digests = _bring(blobs, layout, folder, made, missing)
        else:
            _undo(layout)
            write_json(layout.restoring, [target.relative_to(layout.root).as_posix() for target in files])
            try:
                digests = _bring(blobs, layout, folder, made, files)
                load(ledger, folder / made.folder, made.record)
            except Exception:  # whatever it is, it is raised again; what was brought without its record is not left
                _undo(layout)
                raise
        layout.restoring.unlink(missing_ok=True)
    log = sum(layout.log in target.parents for target in files)
    return msgspec.structs.replace(made, blobs=len(digests), log=log)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Keep `flyball up` and other restores out of the project. Raises Conflict, Refused."""
    try:
        lock = take_lock(layout.lock, wait_s=0)
    except Conflict as error:
        raise Conflict(
            "flyball is up here, or another restore is under way",
            why="what runs would go on with another record",
            fix="stop it first, or wait for it",
            code="already-up",
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def _bring(blobs: Blobs, layout: Layout, folder: Path, made: Backup, files: dict[Path, Path]) -> list[str]:
    """Look whether the backup is whole, then copy all of it but the record; the names of its blobs. Raises Corrupt, Unavailable, OSError."""
    for kept in made.files:
        _check_file(folder / kept.name, kept)
    digests = list(_digests(folder, made))
    _bring_blobs(LocalBlobs(folder / "blobs"), blobs, digests)
    layout.keys.mkdir(exist_ok=True, mode=0o700)
    for target, source in files.items():
        # what the backup lay on may know no rights, and a key that others can read is not used
        copy(source, target, mode=None if layout.log in target.parents else 0o600)
    return digests


def _check_file(path: Path, kept: Kept) -> None:
    """Raise Corrupt where a file is not there, or is not what was written."""
    try:
        size = path.stat().st_size
        changed = f"it has {size:,} bytes, not {kept.size:,}" if size != kept.size else ""
        if not changed and sha256_of(path) != kept.sha256:
            changed = f"its SHA-256 is another than the one in {MARK}"
    except FileNotFoundError as error:
        raise Corrupt(f"{path} is missing", why=f"{MARK} lists it, with {kept.size:,} bytes", fix="use another backup") from error
    except OSError as error:
        raise Corrupt(f"{path} cannot be read", why=error.strerror or str(error), fix="use another backup") from error
    if changed:
        raise Corrupt(f"{path} is not what was written", why=changed, fix="use another backup")


def _digests(folder: Path, made: Backup) -> Iterator[str]:
    """The names of the blobs of a backup. Raises Corrupt where one is missing."""
    kept = LocalBlobs(folder / "blobs")
    for line in lines(folder / made.folder / BLOBS):
        digest = line.decode().rstrip("\n")
        if not kept.has(digest):
            raise Corrupt(f"the backup in {folder} lacks blob {digest}", why=f"its {BLOBS} lists it", fix="use another backup")
        yield digest


def _bring_blobs(kept: LocalBlobs, blobs: Blobs, digests: list[str]) -> None:
    """Copy what the project has not, or has damaged. Raises Corrupt at one of the backup that does not hash to its name."""
    for digest in digests:
        if _is_whole(blobs, digest):
            continue
        blobs.remove(digest)
        if blobs.put_file(kept.path(digest)) != digest:
            raise Corrupt(
                f"{kept.path(digest)} is damaged", why="this blob of the backup does not hash to its name", fix="use another backup"
            )


def _is_whole(blobs: Blobs, digest: str) -> bool:
    try:
        blobs.check(digest)
    except (NotFound, Corrupt):
        return False
    return True


def _beside(folder: Path, made: Backup, layout: Layout) -> dict[Path, Path]:
    """Where each file of the log and the keys goes, and where it lies."""
    root = folder / made.folder
    listed = {folder / each.name for each in made.files}
    log = {layout.log / each.path.relative_to(root / "log"): each.path for each in wal.segments(root / "log")}
    keys = {
        layout.id_key if each.name == layout.id_key.name else layout.keys / each.name: each
        for each in sorted((root / "keys").glob("[!.]*"))
        if each.is_file()
    }
    return {target: source for target, source in (log | keys).items() if source in listed}


def _undo(layout: Layout) -> None:
    """Remove what a restore that came to nothing has left beside blobs."""
    for name in read_json(layout.restoring) or ():
        (layout.root / name).unlink(missing_ok=True)
    layout.restoring.unlink(missing_ok=True)
