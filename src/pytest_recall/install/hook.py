"""Our block in a repository's post-commit hook: where git looks for that hook, and how the block comes in and out.

The block names no path and no project: both stand in the repository's own configuration, so that a hook
that is kept under version control, or serves many repositories, does nothing where we are not installed.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from pytest_recall.errors import BadConfiguration, BadRequest, listed, quoted
from pytest_recall.install import files
from pytest_recall.install.merge import Change

COMMAND, PROJECT = "pytest-recall.command", "pytest-recall.project"

_NAME = "post-commit"
_BEGIN, _END = b"# >>> pytest-recall >>>", b"# <<< pytest-recall <<<"
# All of it goes on behind git's back: what git waits for is one fork of the shell. Under `sh -eu` too.
# A rebase makes many commits at once: who finds the slot taken leaves before any Python starts. Whoever took it is
# asked to free it right before it looks; where it died first, the slot is anybody's after a minute.
_BLOCK = (
    _BEGIN
    + b""" from `pytest-recall install-hook`, which takes it out again with --uninstall
(
  exec </dev/null >/dev/null 2>&1
  trap '' HUP
  {
    slot=$(git rev-parse --git-path pytest-recall.commits) || exit 0
    [ ! -d "$slot" ] || find "$slot" -prune -mmin +1 -exec rmdir {} \\; || :
    [ ! -d "$slot" ] || exit 0
    recall=$(git config --get pytest-recall.command) && [ -x "$recall" ] &&
      mkdir "$slot" && exec nice "$recall" -P -m pytest_recall commits --hook "$slot"
  } &
) || :
"""
    + _END
    + b"\n"
)
_OURS = re.compile(rb"(?ms)^" + re.escape(_BEGIN) + rb".*?^" + re.escape(_END) + rb"(?:\r?\n|\Z)")
_SHEBANG = b"#!/bin/sh\n"
_SHELL = re.compile(rb"#!\s*(?:\S*/env\s+(?:-\S+\s+)*)?(?:\S*/)?(?:ba|da|a|k|mk|z)?sh(?:\.exe)?(?!\S)")
# The runner of husky 5–8 starts the script anew, and ends after it: what comes before it would be done twice. That of
# husky 4, `. "$(dirname "$0")/husky.sh"`, does not, but always ends: nothing that comes after it is done.
_HUSKY = re.compile(rb"(?m)^\.[ \t][^\n]*/_/husky\.sh")
_OF_PATTERNS = frozenset(r"\^$.[]|()*+?{}")  # POSIX's, as git has them
_LINE = 4096  # bytes that a first line may have
_SECONDS = 10.0
# As `git rev-parse --local-env-vars` lists them: those of a hook would lead to another repository.
_OF_ONE_REPOSITORY = frozenset(
    {
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"),
        *("GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE"),
        *(
            "GIT_INDEX_FILE",
            "GIT_NO_REPLACE_OBJECTS",
            "GIT_REPLACE_REF_BASE",
            "GIT_PREFIX",
            "GIT_SHALLOW_FILE",
        ),
        *("GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where git looks for a repository's post-commit hook, and what is to be known of that place."""

    top: Path  # of the work tree
    path: Path
    project: str  # the project's folder, from the top: "." as a rule
    shared: bool = False  # it lies outside of the repository, and may serve others too
    remarks: tuple[str, ...] = ()


def find(root: Path) -> Hook:
    """The hook of the repository that *root* lies in.

    Raises:
        BadRequest: there is no git, no repository, or none that anybody commits in.
    """
    if which("git") is None:
        raise BadRequest("No `git` command on PATH: there are no commits to follow. Install git.")
    if _git(root, "rev-parse", "--is-bare-repository") == "true":
        raise BadRequest(
            f"{quoted(str(root))} is a bare repository: nobody commits in it. Name a work tree with --project."
        )
    top = Path(_git(root, "rev-parse", "--show-toplevel"))
    if not top.is_absolute():
        raise BadRequest(
            f"{quoted(str(root))} is in no git repository. Name the project with --project, or begin with `git init`."
        )
    # Where hooks run: a relative core.hooksPath counts from there.
    folder = top / _git(top, "rev-parse", "--git-path", "hooks")
    project = root.resolve().relative_to(top.resolve()).as_posix()
    common = (top / _git(top, "rev-parse", "--git-common-dir")).resolve()
    in_git, in_tree = (folder.resolve().is_relative_to(place) for place in (common, top.resolve()))
    if folder.name == "_" and (folder / "h").is_file():  # husky 9: its own folder is made anew each time
        path, remarks = folder.parent / _NAME, ["husky runs it; it is under version control."]
        if not (folder / _NAME).is_file():
            remarks.append(f"{folder} has no {_NAME}: run husky once more, so that git calls it.")
    else:
        path, remarks = folder / _NAME, []
        if not in_git:
            remarks.append(
                "core.hooksPath leads there; it may be under version control: elsewhere the block does nothing."
                if in_tree
                else "core.hooksPath leads there, for other repositories too: in those the block does nothing."
            )
    shared = not in_git and not in_tree
    return Hook(top=top, path=path, project=project, shared=shared, remarks=tuple(remarks))


def put(hook: Hook) -> Change:
    """The change that brings our block into *hook*, or up to date.

    Raises:
        BadConfiguration: what is there is no shell script, or git does not run it.
    """
    path = _real(hook)
    before = files.read(path)
    if before is None:
        return Change(path=path, before=None, after=_SHEBANG + _BLOCK)
    if _OURS.search(before):
        return Change(path=path, before=before, after=_OURS.sub(lambda _: _BLOCK, before, count=1))
    _refuse(path, before, by_husky=path.parent.name == ".husky")
    at = _place(before)
    gap = b"" if before[:at].endswith(b"\n") or not at else b"\n"
    return Change(path=path, before=before, after=before[:at] + gap + _BLOCK + before[at:], copy="make")


def drop(hook: Hook) -> Change:
    """The change that takes our block out, unless it `stays`.

    The hook is as it was then, or gone where it was made for us alone.
    """
    path = _real(hook)
    before = files.read(path)
    if before is None or not _OURS.search(before) or stays(hook, before):
        return Change(path=path, before=before, after=before)
    after = _OURS.sub(b"", before, count=1)
    earlier = files.read(files.backup_of(path))
    if earlier is not None and after.rstrip(b"\n") == earlier.rstrip(b"\n"):
        return Change(path=path, before=before, after=earlier, copy="remove")
    return Change(path=path, before=before, after=None if earlier is None and after == _SHEBANG else after)


def stays(hook: Hook, text: bytes | None) -> tuple[str, ...]:
    """Why our block in *text* stays when this project goes; nothing where it goes too, or is not there."""
    if not _OURS.search(text or b""):
        return ()
    if others := [name for name in projects(hook.top) if name != hook.project]:
        return (f"Only this project goes: the block stays for others of this repository, {listed(others)}.",)
    if hook.shared:
        between = f"from {quoted(_BEGIN.decode())} to {quoted(_END.decode())}"
        why = "the hook lies outside and may serve others. To take it out for all, delete the lines"
        return (f"Only this repository goes: the block stays, since {why} {between}.",)
    return ()


def enable(hook: Hook, python: str) -> None:
    """Write down which interpreter the block of *hook* starts us with, for this repository; and let git run the hook.

    Raises:
        BadConfiguration: git refuses.
    """
    if not os.access(hook.path, os.X_OK):
        hook.path.chmod(hook.path.stat().st_mode | 0o111)
    _set(hook, "--replace-all", COMMAND, python)
    # Several projects of one repository share its hook.
    if hook.project not in projects(hook.top):
        _set(hook, "--add", PROJECT, hook.project)


def disable(hook: Hook) -> None:
    """Forget what `enable` wrote down for this project; the interpreter goes with the last one."""
    only = "".join(f"\\{letter}" if letter in _OF_PATTERNS else letter for letter in hook.project)
    _git(hook.top, "config", "--local", "--unset-all", PROJECT, f"^{only}$")
    if not projects(hook.top):
        _git(hook.top, "config", "--local", "--unset-all", COMMAND)


def projects(top: Path) -> list[str]:
    """The project folders, from the top, that the hook of the repository at *top* is for."""
    return _git(top, "config", "--local", "--null", "--get-all", PROJECT).split("\0")[:-1]


def _set(hook: Hook, how: str, key: str, value: str) -> None:
    _git(hook.top, "config", "--local", how, key, value)
    if value not in _git(hook.top, "config", "--local", "--null", "--get-all", key).split("\0"):
        raise BadConfiguration(f"git refuses to write {key} into the configuration of {hook.top}.")


def _real(hook: Hook) -> Path:
    """The file itself: a link within the repository is followed."""
    folder = hook.path.parent
    if folder.exists() and not folder.is_dir():
        raise BadConfiguration(
            f"core.hooksPath is {folder}, which is no folder: git runs no hooks here, and nothing was written. Unset it (`git "
            f"config --show-origin core.hooksPath` says where), or use `pytest-recall commits` after a commit."
        )
    path = files.real(hook.path, [folder, hook.top], meant="put that file itself in the place of the link")
    if path.is_dir():
        raise BadConfiguration(
            f"{path} is a folder, and no hook that git could run; it was left as it was. Move it away, then run this again."
        )
    return path


def _refuse(path: Path, before: bytes, *, by_husky: bool) -> None:
    """Raise BadConfiguration where a block of shell in that file would never be run."""
    first = before[:_LINE].partition(b"\n")[0]
    if first.startswith(b"#!") and not _SHELL.match(first):
        head = first.decode("utf-8", "replace")[:100]
        raise BadConfiguration(
            f"{path} is no shell script ({head}): it was left as it was. Start `pytest-recall commits --hook` from "
            "it, detached, or make it a shell script that calls it."
        )
    if b"\0" in before:
        raise BadConfiguration(f"{path} is a program and no script: it was left as it was.")
    if not by_husky and not os.access(path, os.X_OK):
        raise BadConfiguration(
            f"{path} is there and not executable, so git does not run it: it was left as it was. Make it executable "
            "(chmod +x) or remove it, then run this again."
        )


def _place(before: bytes) -> int:
    """Where our block goes: before anything that may end the script."""
    if found := _HUSKY.search(before):
        return before.find(b"\n", found.end()) + 1 or len(before)
    return before.find(b"\n") + 1 or len(before) if before.startswith(b"#!") else 0


def _git(folder: Path, *words: str) -> str:
    """What git prints, without the last newline; nothing where it refuses."""
    environ = {name: value for name, value in os.environ.items() if name not in _OF_ONE_REPOSITORY}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout).removesuffix("\n")
