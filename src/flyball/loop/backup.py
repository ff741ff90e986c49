"""A project's state in a folder of plain files: the record, its personal texts, blobs, log and keys. `restoring` is the way back.

Online: nothing stops for it. The log is copied first, then the record as of one moment, then the blobs, so that whatever the record
refers to is there; a segment that was sealed in between is there twice, which everything that reads the log can tell, and one that is sealed
after that moment is there as it was before. Pushed rows are copied before the record as well: what had gone from them, a version in it holds. The
backup knows no database: what was SQLite may be restored into PostgreSQL. The keys that sign, and the local token, are never copied. Blobs are named by what they hold; of every other file `backup.json` holds the hash, so all of
them lie in a folder of this backup alone, and what is written later changes none of an earlier one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from flyball.clock import Instant
from flyball.errors import BadInput, Conflict, Corrupt, NotFound, Unavailable
from flyball.ledger import keys, merkle
from flyball.ledger.export import CHECKPOINTS, EVENTS, PERSONAL, Exported, export, lines
from flyball.ledger.ledger import SqlLedger, nodes
from flyball.loop.collecting import needed
from flyball.records.base import Record
from flyball.records.data import DataErased, SubjectErased
from flyball.records.removals import BlobsRemoved
from flyball.records.serving import SEGMENTS, SegmentSealed
from flyball.serving import wal
from flyball.serving.fold import segment_key
from flyball.serving.layout import Layout, write_atomically
from flyball.store.blobs import Blobs, LocalBlobs

MARK = "backup.json"
CLAIM = "flyball-backup.lock"
"""The first file of a backup and an empty one: says whose the folder is until the mark does, and is locked while it is written."""

FORMAT = 2
"""Of the folder, and of its mark. No other one is read."""

RECORD = "record-"
"""How the folder of a record in a backup is called, before about how many events it has, and something that no other one has."""

BLOBS = "blobs.txt"
"""In the folder of the record: the names of the blobs that belong to this backup, a line each."""

PUSHED = "push"
"""In the folder of the record: what was pushed of each data set."""

TRIES = 5
_SECRET = frozenset({keys.KEY, "local.token"})
"""Files of the keys folder that stay where they are: a restored project makes its own."""

Progress = Callable[[int, int], None]
"""Called with how many blobs are done, and how many there are."""


class Kept(Record, frozen=True):
    """A file of a backup: its path within, its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Backup(Record, frozen=True):
    """What a backup holds, as its `backup.json` says: `folder` has all of it but the blobs, and `files` is all that is in there.

    `blobs` and `log` are numbers of files. What the project had lost of its blobs when it was made: `only_here` are there since an earlier
    backup, `lost` are not.
    """

    format: int
    made_at: Instant
    folder: str
    record: Exported
    blobs: int
    log: int
    files: tuple[Kept, ...]
    only_here: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    env: str = ""
    """The environment whose it is (empty: the project's own)."""


def backup(
    ledger: SqlLedger, blobs: Blobs, layout: Layout, folder: Path, now: Instant, progress: Progress = lambda _done, _all: None
) -> Backup:
    """Write a backup into `folder`: a new or empty one, or an earlier backup of the same record, which is brought up to date.

    Until it is whole, an earlier backup stays what it was, and what it has of blobs that the project has lost is kept. What is made here can
    be read by its owner alone. Raises Conflict (something else is there, or another backup is being written), Corrupt (the record, a blob or
    the earlier backup is damaged), Unavailable, OSError.
    """
    _check_ours(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _claimed(folder):
        _make_ready(ledger, folder)
        where = Path(tempfile.mkdtemp(prefix=f"{RECORD}{ledger.size()}-", dir=folder))
        kept = LocalBlobs(folder / "blobs")
        _copy_log(layout.log, where / "log")
        for _ in range(TRIES):
            begun = ledger.size()
            _copy_pushed(layout.push, where / PUSHED)
            record = export(ledger, where, personal=True)
            copied = _copy_blobs(blobs, kept, progress)
            if not _removed_since(ledger, begun):
                break
        else:
            why = f"{TRIES} times something was erased or collected while its blobs were copied"
            raise Unavailable("the backup was not finished", why=why, fix="try again", retry_after=60)
        wanted = needed(ledger, kept)
        missing = {digest for digest in wanted - copied if not _is_copied(blobs, kept, digest)}
        only_here = {digest for digest in missing if is_whole(kept, digest)}
        lost = missing - only_here
        copied |= wanted - lost
        _copy_keys(layout, where / "keys")
        _forget(layout.log, where / "log", _sealed(ledger, record.events))
        write_atomically(where / BLOBS, "".join(f"{digest}\n" for digest in sorted(copied)).encode())
        log = len(wal.segments(where / "log"))
        files = tuple(_kept(folder, file) for file in sorted(where.rglob("*")) if file.is_file())
        made = Backup(
            format=FORMAT,
            made_at=now,
            folder=where.name,
            record=record,
            blobs=len(copied),
            log=log,
            files=files,
            only_here=tuple(sorted(only_here)),
            lost=tuple(sorted(lost)),
            env=layout.env,
        )
        # what makes it this backup and no earlier one
        write_atomically(folder / MARK, msgspec.json.encode(made))
        _tidy(folder, copied)
    return made


def open_to_others(folder: Path) -> bool:
    """Whether others than its owner can get at what is in a backup: somebody gave them the right, or the disk knows no rights."""
    parts = [each for each in folder.iterdir() if each.is_dir()]
    return _has_others(folder) and any(_has_others(part) for part in parts)


def _has_others(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o077)


def read(folder: Path) -> Backup:
    """What a backup holds. Raises NotFound, BadInput (a format that is not known), Corrupt."""
    try:
        data = (folder / MARK).read_bytes()
        known = msgspec.json.decode(data, type=_Format).format
        if known != FORMAT:
            why, fix = f"this flyball knows format {FORMAT} alone", "use the flyball that wrote it; a new backup goes into another folder"
            raise BadInput(f"{folder} is a backup of format {known}", why=why, fix=fix)
        made = msgspec.json.decode(data, type=Backup)
    except FileNotFoundError as error:
        why = f"it has no {MARK}, which is written last: there is no backup, or it was not finished"
        raise NotFound(f"{folder} holds no backup", why=why, fix="name the folder that flyball backup wrote") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"{folder / MARK} cannot be read", why=str(error), fix="use another backup") from error
    _check_list(folder, made)
    return made


class _Format(msgspec.Struct):
    format: int


def _check_list(folder: Path, made: Backup) -> None:
    """Raise Corrupt for a mark that does not list what belongs to a backup, or that lists what lies elsewhere."""
    names = {each.name for each in made.files}
    own = (EVENTS, CHECKPOINTS, PERSONAL, BLOBS)
    outside = any(len(path.parts) < 2 or path.parts[0] != made.folder or ".." in path.parts for path in map(PurePosixPath, names))
    if outside or not made.folder.startswith(RECORD) or not {f"{made.folder}/{name}" for name in own} <= names:
        raise Corrupt(f"{folder / MARK} was changed", why="it does not list the files that a backup has", fix="use another backup")


def _check_ours(folder: Path) -> None:
    """Raise BadInput or Conflict for a folder in which something else is than a backup, be it an unfinished one."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file", why="a backup is a folder", fix="name a new or empty folder")
    if folder.exists() and any(folder.iterdir()) and not any((folder / each).exists() for each in (CLAIM, MARK)):
        raise Conflict(
            f"{folder} is not empty, and no backup", why="nothing is overwritten", fix="name a new or empty folder", code="not-empty"
        )


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Say that the folder is a backup's, before anything else is there, and keep others out of it. Raises Conflict."""
    with (folder / CLAIM).open("ab") as file:
        _lock(file, fcntl.LOCK_EX, folder)
        yield


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep backups from being written into the folder while it is read. One where nobody may write needs no lock. Raises Conflict."""
    try:
        file = (folder / CLAIM).open("rb")
    except OSError:
        yield
        return
    with file:
        _lock(file, fcntl.LOCK_SH, folder)
        yield


def _lock(file: IO[bytes], how: int, folder: Path) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        why = "another backup is being written into it, or it is being restored"
        raise Conflict(f"{folder} is in use", why=why, fix="wait for it") from error
    except OSError as error:
        # a disk that knows no locks
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
            raise


def _make_ready(ledger: SqlLedger, folder: Path) -> None:
    """Keep an earlier backup of this very record, and nothing else but blobs: what a killed one left may be of another record.

    Raises Conflict (it is of another record), Corrupt.
    """
    if (folder / MARK).exists():
        _check_record(ledger, folder, read(folder))
    _drop_records(folder)
    (folder / "blobs").mkdir(exist_ok=True, mode=0o700)


def _check_record(ledger: SqlLedger, folder: Path, made: Backup) -> None:
    try:
        first = next(lines(folder / made.folder / EVENTS), b"").rstrip(b"\n")
    except Corrupt as error:
        raise Corrupt(f"the backup in {folder} is damaged", why=str(error), fix="make a new one in another folder") from error
    with ledger.database.reading() as connection:
        leaf = nodes(connection, ledger.database)(0, 0) if ledger.size() else b""
    # the hash in the tree, since an event that was edited makes no other record of it: that is told where it is written
    if first and merkle.leaf_hash(first) != leaf:
        raise Conflict(
            f"{folder} is a backup of another record",
            why="its first event is not this project's",
            fix="name another folder",
            code="not-empty",
        )


def _drop_records(folder: Path) -> None:
    """Remove every record but the one that the mark names: of earlier backups, and of killed ones."""
    kept = read(folder).folder if (folder / MARK).exists() else ""
    for each in folder.glob(f"{RECORD}*"):
        if each.name != kept:
            shutil.rmtree(each)


def _removed_since(ledger: SqlLedger, events: int) -> bool:
    """Whether something that the exported record refers to may have been removed before it was copied, or was copied before it was removed."""
    return any(isinstance(recorded.event, DataErased | SubjectErased | BlobsRemoved) for recorded in ledger.read(events, ledger.size()))


def _sealed(ledger: SqlLedger, events: int) -> frozenset[str]:
    """The keys of the segments that the first so many events name as sealed."""
    now = {key for key, _ in ledger.state().scan(SEGMENTS)}
    later = (recorded.event for recorded in ledger.read(events, ledger.size()))
    return frozenset(now - {segment_key(event.gateway, event.number) for event in later if isinstance(event, SegmentSealed)})


def _copy_blobs(source: Blobs, target: Blobs, progress: Progress) -> frozenset[str]:
    """Copy what the target has not, or not in that size; all that both have by then. Raises Corrupt."""
    digests = list(source.digests())
    copied: set[str] = set()
    for done, digest in enumerate(digests):
        progress(done, len(digests))
        if _is_copied(source, target, digest):
            copied.add(digest)
    progress(len(digests), len(digests))
    return frozenset(copied)


def is_whole(blobs: Blobs, digest: str) -> bool:
    """Whether a blob is there, and hashes to its name."""
    try:
        blobs.check(digest)
    except (NotFound, Corrupt):
        return False
    return True


def _is_copied(source: Blobs, target: Blobs, digest: str) -> bool:
    """Whether the target has a blob of the source by now. Raises Corrupt."""
    return _has_size(source, target, digest) or _copy_blob(source, target, digest)


def _has_size(source: Blobs, target: Blobs, digest: str) -> bool:
    own, kept = source.touched(digest), target.touched(digest)
    return own is not None and kept is not None and own.size == kept.size


def _tidy(folder: Path, copied: frozenset[str]) -> None:
    """Remove what an earlier backup had and this one has not: its record, and what was erased or collected since."""
    _drop_records(folder)
    kept = LocalBlobs(folder / "blobs")
    for digest in list(kept.digests()):
        if digest not in copied:
            kept.remove(digest)


def _copy_blob(source: Blobs, target: Blobs, digest: str) -> bool:
    """False where it is gone: it was erased or collected meanwhile, so the record is exported again, or never knew it. Raises Corrupt."""
    try:
        copied = target.put_file(source.path(digest))
    except NotFound:
        return False
    if copied != digest:
        raise Corrupt(
            f"blob {digest} is damaged",
            why="its bytes do not hash to its name",
            fix="flyball audit verify says what it was; another backup may have it",
        )
    return True


def _copy_keys(layout: Layout, folder: Path) -> None:
    # a name with a dot before it is a secret that somebody was about to make
    for file in (layout.id_key, *(each for each in sorted(layout.keys.glob("[!.]*")) if each.name not in _SECRET)):
        if file.is_file():
            copy(file, folder / file.name)


def _copy_log(source: Path, target: Path) -> None:
    """Copy every segment. One that grows meanwhile is copied as long as it was."""
    for file in wal.segments(source):
        # one that is gone was sealed meanwhile: its rows are among the blobs
        with suppress(FileNotFoundError):
            copy(file.path, target / file.path.relative_to(source))


def _copy_pushed(source: Path, target: Path) -> None:
    """Copy what was pushed, anew. A file that grows meanwhile is copied as long as it was."""
    shutil.rmtree(target, ignore_errors=True)
    for file in sorted(source.glob("*/*.rows")):
        # of one that is gone, a version holds all rows by now
        with suppress(FileNotFoundError):
            copy(file, target / file.relative_to(source))


def _forget(source: Path, target: Path, sealed: frozenset[str]) -> None:
    """Remove the copies of files that are no more, but for segments that are not `sealed` in the record of this backup: it has no other."""
    for file in wal.segments(target):
        if segment_key(file.gateway, file.number) in sealed and not (source / file.path.relative_to(target)).exists():
            file.path.unlink()


def copy(source: Path, target: Path, *, mode: int | None = None) -> None:
    """Copy one file whole, with its rights, or with those of `mode`; it is on the disk then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.new")
    try:
        shutil.copy2(source, scratch)
        if mode is not None:
            scratch.chmod(mode)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _kept(folder: Path, file: Path) -> Kept:
    return Kept(name=file.relative_to(folder).as_posix(), size=file.stat().st_size, sha256=sha256_of(file))


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file in hex, with little memory. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
