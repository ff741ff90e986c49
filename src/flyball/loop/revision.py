"""Which Git commit the code of a run is: looked up in the project's repository when the run is asked for, and never in the working tree.

Files are compared by their hashes with those of the newest commit, so code that was declared before it was committed is found all the same.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flyball.records.commits import DIRTY

_PATIENCE_S: Final = 5.0


def commit_of(root: Path, code: Mapping[str, str]) -> str:
    """The newest commit of the repository that `root` is in, as hex digits; with `-dirty` where some of the code (path from `root` → text) is
    otherwise there, or not at all. Empty without a repository, a commit, or Git.
    """
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    if not head or not code:
        return ""
    there = dict(_entry(line) for line in _git(root, "ls-tree", "-r", "-z", head, "--", *code).split("\0") if line)
    return head if all(_is(text, there.get(path, "")) for path, text in code.items()) else head + DIRTY


def _entry(line: str) -> tuple[str, str]:
    """Path and hash of `MODE TYPE HASH<tab>PATH`."""
    about, _, path = line.partition("\t")
    return path, about.rpartition(" ")[2]


def _is(text: str, blob: str) -> bool:
    """Whether Git calls this text so, as it is or with the ends of lines that Windows writes."""
    return bool(blob) and blob in {_hash(text, len(blob)), _hash(text.replace("\n", "\r\n"), len(blob))}


def _hash(text: str, digits: int) -> str:
    data = text.encode("utf-8", "surrogatepass")
    whole = b"blob %d\0" % len(data) + data
    # a name that Git gives, not a secret
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest() if digits == 40 else hashlib.sha256(whole).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        found = subprocess.run(
            ["git", "-C", str(root), *arguments], check=False, capture_output=True, timeout=_PATIENCE_S, env={**outside, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.decode("utf-8", "replace") if found.returncode == 0 else ""
