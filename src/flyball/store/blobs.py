"""Bytes kept under the SHA-256 of what they are: written once, never changed, checked on every read.

A blob may be removed when nothing needs it, while others write: whoever is about to refer to a blob puts it, or refreshes one that is there, and
both leave the present moment on it; `remove_idle` takes only what nobody has touched since a moment long ago. Both hold a lock (flock) on
the file meanwhile, so a blob that was just put is never taken away, and one that was just taken away is written again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from flyball.clock import Instant
from flyball.errors import BadInput, Corrupt, NotFound, Unavailable, Unusable, kind_of
from flyball.store.durable import sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_SCRATCH = ".new-"


class Blobs(Protocol):
    """Where blobs are kept. Every method raises Unavailable when the storage cannot be reached or written."""

    def put(self, data: bytes) -> str:
        """Keep `data`; return its SHA-256 in hex. Bytes that are there in their size are not written again, but refreshed."""
        ...

    def put_file(self, path: Path) -> str:
        """Keep the content of a file, without holding it in memory; return its SHA-256 in hex."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes, checked. Raises NotFound, Corrupt."""
        ...

    def path(self, digest: str) -> Path:
        """A local file that holds the bytes, unchecked. Raises NotFound."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        ...

    def check(self, digest: str) -> None:
        """Read the whole blob and compare its hash, with little memory. Raises NotFound, Corrupt."""
        ...

    def remove(self, digest: str) -> bool:
        """Give up a blob for good; False where it is not there, which is no error."""
        ...

    def digests(self) -> Iterator[str]:
        """The hash of every blob that is there, in order; one that comes or goes meanwhile may be told or not."""
        ...

    def refresh(self, digest: str) -> None:
        """Say that a blob which is there is about to be referred to. Raises NotFound."""
        ...

    def touched(self, digest: str) -> Touched | None:
        """When a blob was put or refreshed last, and its size; None where it is not there."""
        ...

    def remove_idle(self, digest: str, before: Instant) -> bool:
        """Give up a blob that nobody has put or refreshed since `before`; False where somebody has, or it is not there."""
        ...

    def sweep(self, before: Instant) -> int:
        """Remove what writers that were killed before that moment have left half written; how many files."""
        ...


class Touched(NamedTuple):
    """When a blob was put or refreshed last, and how large it is."""

    at: Instant
    size: int


class LocalBlobs:
    """Blobs as files `root/ab/cdef…`: written beside, synced, renamed; a crash leaves no half blob under its name."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def put(self, data: bytes) -> str:
        """Keep `data`; return its SHA-256 in hex."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._file(digest)
        try:
            if _refreshed(target, len(data)):
                return digest
            target.parent.mkdir(parents=True, exist_ok=True)
            with _beside(target.parent) as file:
                file.write(data)
                _settle(file, target)
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        return digest

    def put_file(self, path: Path) -> str:
        """Keep the content of a file; return its SHA-256 in hex. The file stays. Raises NotFound if it is not there."""
        try:
            source = Path(path).open("rb")  # noqa: SIM115 - its error is another than those of the copy
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {path}") from error
        hashed = hashlib.sha256()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # the name is known only at the end, so the copy begins in the root and is renamed into its folder
            with source, _beside(self.root) as copy:
                while chunk := source.read(_CHUNK):
                    hashed.update(chunk)
                    copy.write(chunk)
                digest = hashed.hexdigest()
                target = self._file(digest)
                if not _refreshed(target, copy.tell()):
                    target.parent.mkdir(exist_ok=True)
                    _settle(copy, target)
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes, checked. Raises NotFound, Corrupt."""
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise _cannot_read(digest, error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise _corrupt(digest)
        return data

    def path(self, digest: str) -> Path:
        """The file that holds the bytes. Raises NotFound."""
        file = self._file(digest)
        if not file.is_file():
            raise NotFound(
                f"blob {digest} is not in this machine's store",
                why=f"there is no .flyball/blobs/{digest[:2]}/{digest[2:]}; the machines of a project share that folder",
                fix="restore it from a backup, or share the folder (docs/postgresql.md)",
            )
        return file

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self._file(digest).is_file()

    def check(self, digest: str) -> None:
        """Read the blob in pieces and compare its hash. Raises NotFound, Corrupt."""
        hashed = hashlib.sha256()
        try:
            with self.path(digest).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    hashed.update(chunk)
        except OSError as error:
            raise _cannot_read(digest, error) from error
        if hashed.hexdigest() != digest:
            raise _corrupt(digest)

    def digests(self) -> Iterator[str]:
        """The hash of every blob that is there, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(f"{folder.name}{file.name}" for file in folder.iterdir() if _DIGEST.fullmatch(f"{folder.name}{file.name}"))

    def remove(self, digest: str) -> bool:
        """Give up a blob for good; False where it is not there."""
        try:
            self._file(digest).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        return True

    def refresh(self, digest: str) -> None:
        """Say that the blob is about to be referred to. Raises NotFound."""
        try:
            there = _refreshed(self._file(digest))
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        if not there:
            self.path(digest)

    def touched(self, digest: str) -> Touched | None:
        """When the blob was put or refreshed last, and its size; None where it is not there."""
        try:
            found = self._file(digest).stat()
        except FileNotFoundError:
            return None
        return Touched(found.st_mtime_ns // 1000, found.st_size)

    def remove_idle(self, digest: str, before: Instant) -> bool:
        """Give up the blob, unless somebody has put or refreshed it since `before`."""
        file = self._file(digest)
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held = os.fstat(descriptor)
            # another may have removed it meanwhile, and a third one put it again
            if held.st_mtime_ns // 1000 >= before or held.st_ino != file.stat().st_ino:
                return False
            file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        finally:
            os.close(descriptor)
        return True

    def sweep(self, before: Instant) -> int:
        """Remove what killed writers have left half written before that moment; how many files."""
        removed = 0
        for file in list(self.root.glob(f"**/{_SCRATCH}*")):
            # one that is gone by now was finished by its writer
            with suppress(FileNotFoundError):
                if file.stat().st_mtime_ns // 1000 < before:
                    file.unlink()
                    removed += 1
        return removed

    def _file(self, digest: str) -> Path:
        # a digest becomes a path, so nothing but 64 hex digits goes in
        if not _DIGEST.fullmatch(digest):
            raise BadInput(f'"{digest[:80]}" is not a blob hash', why="a blob hash is 64 digits of 0-9 a-f (SHA-256)")
        return self.root / digest[:2] / digest[2:]


def _refreshed(target: Path, size: int | None = None) -> bool:
    """Whether the blob is there, in this size if one is given, and stays: from now on it counts as touched."""
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if size not in (None, os.fstat(descriptor).st_size):
            return False
        os.utime(descriptor)
        # no name any more: it was removed while the lock was waited for
        return os.fstat(descriptor).st_nlink > 0
    except OSError as error:
        if error.errno == errno.EROFS:
            # nothing is removed from a disk that is read-only
            return True
        if error.errno in {errno.EPERM, errno.EACCES}:
            # another user's file, which cannot be refreshed: it is written again
            return False
        raise
    finally:
        os.close(descriptor)


@contextmanager
def _beside(folder: Path) -> Iterator[BufferedWriter]:
    """A new file under a name that does not matter, gone again unless it was renamed."""
    file = tempfile.NamedTemporaryFile("wb", dir=folder, prefix=_SCRATCH, delete=False)  # noqa: SIM115 - closed below, after the rename
    try:
        yield cast("BufferedWriter", file)
    finally:
        file.close()
        Path(file.name).unlink(missing_ok=True)


def _settle(file: BufferedWriter, target: Path) -> None:
    """Make the bytes durable, then the name."""
    file.flush()
    os.fsync(file.fileno())
    written = Path(file.name)
    written.chmod(0o444)
    written.replace(target)
    sync_folder(target.parent)


def _corrupt(digest: str) -> Corrupt:
    return Corrupt(
        f"blob {digest} is damaged",
        why="its bytes do not hash to its name: they were changed after they were written",
        fix="restore it from a backup; flyball audit verify lists everything that is damaged",
    )


def _cannot_read(digest: str, error: OSError) -> Unavailable:
    return kind_of(error)(f"blob {digest} cannot be read", why=str(error), fix="check the disk and the file's rights")


def _cannot_write(root: Path, error: OSError) -> Unavailable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Unavailable(
            f"no room to write a blob under {root}", why="the disk is full", fix="free some space; nothing was changed", retry_after=30
        )
    kind = kind_of(error)
    if kind is Unusable:
        return kind(
            f"no right to write under {root}",
            why=error.strerror or str(error),
            fix="give this user write access, or run as the user who owns it",
            retry_after=30,
        )
    return Unavailable(f"a blob could not be written under {root}", why=str(error), fix="check the disk; nothing was changed")
