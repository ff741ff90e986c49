"""A backup brought into a project whose record is empty. All that can be checked is checked first, and the record comes last, in one transaction:
what is refused or fails leaves nothing but blobs, what is killed leaves no record, so that it is done again, with this backup or another.

Meanwhile nothing else runs here: the project's lock is held, and neither `flyball up` nor any command does anything where a restore was killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from flyball.errors import Conflict, Corrupt, FlyballError
from flyball.ledger import merkle
from flyball.ledger.export import Exported, lines, load
from flyball.ledger.ledger import SqlLedger, nodes, read_head
from flyball.loop.backup import BLOBS, MARK, PUSHED, Backup, Kept, copy, held, is_whole, read, sha256_of
from flyball.loop.collecting import needed
from flyball.records.base import Record
from flyball.records.data import SubjectErased
from flyball.records.serving import SEGMENTS
from flyball.serving import wal
from flyball.serving.fold import segment_key
from flyball.serving.layout import Layout, write_atomically
from flyball.serving.supervisor import take_lock
from flyball.store.blobs import Blobs, LocalBlobs

GLANCE_S = 1.0
"""Who only looks whether flyball is up holds its lock for an instant."""


class _Begun(Record, frozen=True):
    """What `restoring.json` says: which record is to come, and which files are brought for it, as paths within `.flyball`."""

    record: Exported
    files: tuple[str, ...]


def restore(ledger: SqlLedger, blobs: Blobs, layout: Layout, folder: Path, *, before: str = "") -> Backup:
    """Bring a backup into a project whose record is empty. Killed on the way, it is done again from the start.

    before: the environment from which versions come here. What answers by the record of another one was not tried there, so it is refused.

    Where the record here begins with that of the backup, what is missing beside it is brought. Returns what the backup holds. Raises NotFound
    (no backup there), Conflict (another record is here, something runs here, or a backup is being written there), Corrupt (the backup is
    damaged), Unavailable, OSError.
    """
    with held(folder), _alone(layout):
        made = read(folder)
        if before and made.env != layout.env:
            raise Conflict(
                f"{folder} is a backup of {made.env or 'the project outside its environments'}, and this is {layout.env}",
                why=f"what answers by its record would answer here, and {before} has not checked it",
                fix=f"restore it where it comes from; versions come here from {before}: flyball up --env {layout.env}",
            )
        _settle(ledger, layout)
        files = _beside(folder, made, layout)
        if _has(ledger, made.record):
            digests = _mend(ledger, blobs, layout, folder, made, files)
        elif ledger.size():
            raise Conflict(
                "this project has a record already",
                why="a restore would lose it",
                fix="make a new project: flyball init DIR",
                code="not-empty",
            )
        else:
            digests = _fill(ledger, blobs, layout, folder, made, files)
    log = sum(layout.log in target.parents for target in files)
    return msgspec.structs.replace(made, blobs=len(digests), log=log)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Keep `flyball up` and other restores out of the project. Raises Conflict, Refused."""
    try:
        lock = take_lock(layout.lock, wait_s=GLANCE_S)
    except Conflict as error:
        raise Conflict(
            "flyball is up here, or another restore is under way",
            why="what runs would go on with another record",
            fix="stop it first, or wait for it",
            code="already-up",
        ) from error
    try:
        # it still names the last `flyball up`, and that number may be another process's by now
        os.ftruncate(lock, 0)
        yield
    finally:
        os.close(lock)


def _has(ledger: SqlLedger, record: Exported) -> bool:
    """Whether that record, and some event of it, is the beginning of the one here. Raises Corrupt, Unavailable."""
    with ledger.database.reading() as connection:
        if not 0 < record.events <= read_head(connection, ledger.database).size:
            return False
        return merkle.root_of_first(nodes(connection, ledger.database), record.events).hex() == record.root


def _fill(ledger: SqlLedger, blobs: Blobs, layout: Layout, folder: Path, made: Backup, files: dict[Path, Path]) -> list[str]:
    """Bring all of a backup, the record last; the names of its blobs. Raises Conflict, Corrupt, Unavailable, OSError."""
    begun = _Begun(made.record, tuple(target.relative_to(layout.root).as_posix() for target in files))
    try:
        write_atomically(layout.restoring, msgspec.json.encode(begun))
        digests = _check(folder, made)
        _bring_blobs(LocalBlobs(folder / "blobs"), blobs, digests)
        _bring_files(layout, files)
        load(ledger, folder / made.folder, made.record)
        layout.restoring.unlink()
    except BaseException:  # Ctrl-C too
        # a database that does not answer now may have taken the record: the next restore looks
        with suppress(FlyballError):
            _settle(ledger, layout)
        raise
    return digests


def _mend(ledger: SqlLedger, blobs: Blobs, layout: Layout, folder: Path, made: Backup, files: dict[Path, Path]) -> list[str]:
    """Bring what the project has lost or damaged, and nothing that it has sealed, removed or erased since; the names of the backup's blobs.

    Raises Corrupt, Unavailable, OSError.
    """
    digests = _check(folder, made)
    kept = LocalBlobs(folder / "blobs")
    missing = {digest for digest in digests if not is_whole(blobs, digest)}
    _bring_blobs(kept, blobs, sorted(missing & needed(ledger, kept)) if missing else [])
    sealed = {key for key, _ in ledger.state().scan(SEGMENTS)}
    over = {each.path for each in wal.segments(folder / made.folder / "log") if segment_key(each.gateway, each.number) in sealed}
    # nobody is left out of what was pushed before their erasure
    later = (recorded.event for recorded in ledger.read(made.record.events, ledger.size()))
    if any(isinstance(event, SubjectErased) for event in later):
        over |= {source for target, source in files.items() if layout.push in target.parents}
    _bring_files(layout, {target: source for target, source in files.items() if source not in over and not target.exists()})
    return digests


def _check(folder: Path, made: Backup) -> list[str]:
    """Look whether the backup is whole; the names of its blobs. Raises Corrupt."""
    for kept in made.files:
        _check_file(folder / kept.name, kept)
    return list(_digests(folder, made))


def _bring_files(layout: Layout, files: dict[Path, Path]) -> None:
    """Copy segments of the log, pushed rows, and keys. Raises OSError."""
    layout.keys.mkdir(exist_ok=True, mode=0o700)
    for target, source in files.items():
        # what the backup lay on may know no rights, and a key that others can read is not used
        copy(source, target, mode=0o600 if target.parent == layout.keys or target == layout.id_key else None)


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
        if is_whole(blobs, digest):
            continue
        blobs.remove(digest)
        if blobs.put_file(kept.path(digest)) != digest:
            raise Corrupt(
                f"{kept.path(digest)} is damaged", why="this blob of the backup does not hash to its name", fix="use another backup"
            )


def _beside(folder: Path, made: Backup, layout: Layout) -> dict[Path, Path]:
    """Where each file of the log, of pushed rows and of the keys goes, and where it lies."""
    root = folder / made.folder
    listed = {folder / each.name for each in made.files}
    log = {layout.log / each.path.relative_to(root / "log"): each.path for each in wal.segments(root / "log")}
    keys = {
        layout.id_key if each.name == layout.id_key.name else layout.keys / each.name: each
        for each in sorted((root / "keys").glob("[!.]*"))
        if each.is_file()
    }
    pushed = {layout.push / each.relative_to(root / PUSHED): each for each in sorted((root / PUSHED).glob("*/*.rows"))}
    return {target: source for target, source in (log | pushed | keys).items() if source in listed}


def _settle(ledger: SqlLedger, layout: Layout) -> None:
    """End a restore that was killed or failed: where its record is here, all of it is; else what it brought beside blobs is removed.

    Raises Corrupt, Unavailable, OSError.
    """
    try:
        begun = msgspec.json.decode(layout.restoring.read_bytes(), type=_Begun)
    except FileNotFoundError:
        return
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"{layout.restoring} cannot be read",
            why=f"it says what a restore that was killed has brought: {error}",
            fix="restore into a new project: flyball init DIR",
        ) from error
    if not _has(ledger, begun.record):
        for name in begun.files:
            (layout.root / name).unlink(missing_ok=True)
    layout.restoring.unlink()
