"""Where checkpoints are kept outside of the store, so that a record that is cut off or written anew can be told from the true one.

An anchor takes a signed note and keeps it. It decides nothing, and a checkpoint that it cannot take now is given to it again later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from flyball.errors import BadInput, Unavailable, kind_of
from flyball.ledger import note
from flyball.ledger.checkpointcheck import Kept

TIMEOUT_S = 5.0


class Anchor(Protocol):
    """Keeps checkpoints."""

    @property
    def name(self) -> str:
        """What it is called in messages, without secrets."""
        ...

    def publish(self, signed: bytes) -> None:
        """Keep a note; twice the same is no error. Raises Unavailable."""
        ...


class FileAnchor:
    """A file on another disk or machine, to which notes are appended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"file {path}"

    def publish(self, signed: bytes) -> None:
        """Append, and wait for the disk. A part that had no room is taken away again."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._unavailable(error) from error
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, signed) < len(signed):
                    raise OSError(28, "No space left on device")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        except OSError as error:
            raise self._unavailable(error) from error
        finally:
            os.close(descriptor)

    def kept(self) -> Iterator[Kept]:
        """Every note of the file, with its place; none where there is no file yet. Raises Unavailable."""
        return kept_in(self._path) if self._path.exists() else iter(())

    def _unavailable(self, error: OSError) -> Unavailable:
        return kind_of(error)(
            f"a checkpoint cannot be written to {self._path}",
            why=error.strerror or str(error),
            fix="mend anchor_file in flyball.toml, or its disk; the checkpoint is written when it can be",
            retry_after=60,
        )


class WebhookAnchor:
    """An HTTP address to which each note is posted as text/plain. Anything but a 2xx is a note that was not taken."""

    def __init__(self, url: str) -> None:
        """Raises BadInput for what is no http(s) address."""
        parts = _parts(url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("anchor_url is not an HTTP address", why="a checkpoint is posted to it", fix='write anchor_url = "https://…"')
        self._url = url
        # whatever in it may be secret (a user, a path, a query) is not told
        self.name = f"webhook {parts.hostname}"

    def publish(self, signed: bytes) -> None:
        """Post it; a redirect is not followed."""
        import httpx

        headers = {"content-type": "text/plain; charset=utf-8"}
        try:
            answer = httpx.post(self._url, content=signed, headers=headers, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # the error's own words may hold the address
            raise self._unavailable(type(error).__name__) from None
        if not answer.is_success:
            raise self._unavailable(f"it answered {answer.status_code}")

    def _unavailable(self, why: str) -> Unavailable:
        fix = "mend anchor_url in flyball.toml, or what listens there; the checkpoint is posted when it can be"
        return Unavailable(f"a checkpoint was not taken by the {self.name}", why=why, fix=fix, retry_after=60)


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def anchors(file: str, url: str, root: Path) -> tuple[Anchor, ...]:
    """The anchors that the settings name; a path is relative to the project's folder `root`. Raises BadInput."""
    found: list[Anchor] = []
    if file:
        found.append(FileAnchor(root / Path(file).expanduser()))
    if url:
        found.append(WebhookAnchor(url))
    return tuple(found)


def kept_in(path: Path) -> Iterator[Kept]:
    """Every note of a file of notes, with its place. Raises Unavailable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"the checkpoints in {path} cannot be read", why=error.strerror or str(error), fix="check the file and its rights"
        ) from error
    return (Kept(f"{path} note {place}", signed) for place, signed in enumerate(note.split(data), 1))
