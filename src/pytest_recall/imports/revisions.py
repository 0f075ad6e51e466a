"""What `--revision` names: a commit, with the digest that a run of ours on its clean tree would have."""

from __future__ import annotations

import os
import re
import subprocess
from hashlib import blake2b
from pathlib import Path

from pytest_recall.errors import BadRequest, quoted
from pytest_recall.model import Revision

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def named(root: Path, text: str, branch: str = "") -> Revision:
    """The revision that *text* names in the repository of *root*; a whole SHA needs not be in it.

    Raises:
        BadRequest: git does not know it.
    """
    if not text:
        return Revision(digest="", branch=branch)
    found = of_commit(text, branch) or of_commit(_parsed(root, text), branch)
    if found is None:
        raise BadRequest(
            f"revision={quoted(text)} is no commit of the repository in {quoted(str(root))}. "
            "Pass its whole SHA, or fetch it first."
        )
    return found


def of_commit(commit: str, branch: str = "") -> Revision | None:
    """The revision of a clean tree of *commit*; None where that is no whole SHA."""
    commit = commit.lower()
    if not _COMMIT.fullmatch(commit):
        return None
    # As `running.revision` makes it of a tree without changes: equal digests, equal sources.
    digest = blake2b(commit.encode(), digest_size=12).hexdigest()
    return Revision(digest=digest, commit=commit, branch=branch)


def of_merge(commit: str, branch: str, run: str) -> Revision:
    """What a pull request's run tested: *commit* merged into its base, which only that CI run knows."""
    digest = blake2b(f"merge {run} {commit}".encode(), digest_size=12).hexdigest()
    return Revision(digest=digest, commit=commit, branch=branch, dirty=True)


def _parsed(root: Path, text: str) -> str:
    # A git hook's variables would lead to another repository.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [
        "git",
        "-C",
        str(root),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{text}^{{commit}}",
    ]
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("ascii", "replace").strip()
