"""Which sources a captured session runs: the same digest that pytest-recall gives its own runs of them.

Equal digests mean equal sources, so what could not be read in time gets none. git answers while
pytest collects; the digest is put together before the first test.
"""

import hashlib
import os
import stat
import subprocess
import time

_SECONDS = 2.0
_MOST_FILES = 50000
_MOST_BYTES = 256 << 20
_MOST_OF_ONE = 16 << 20
_LEFT_BEHIND = frozenset(
    ".git .hg .pytest-recall __pycache__ .pytest_cache .hypothesis .mypy_cache .ruff_cache .tox .nox .venv"
    " node_modules .benchmarks .ipynb_checkpoints .eggs".split()
)
_CONFIGURATION = frozenset(["pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "pytest.toml"])
_MOST_DATA = 500
_WRITTEN_TO = frozenset("build dist htmlcov log logs out output reports test-results tmp".split())
_WRITTEN = tuple(
    ".log .tmp .bak .swp ~ .pid .lock .db .sqlite .sqlite3 -journal -wal -shm .prof .o .so .pyd .whl".split()
)
_REPORTS = tuple("coverage junit pytest report results test-".split())
_FORMATS = tuple(".xml .json .jsonl .html .lcov .txt".split())
_STATUS = ["status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames"]


class Unknown(Exception):
    """It cannot be told, or not in time."""


class Asked:
    """git has been asked for the state of *root*; `answer` waits for it."""

    def __init__(self, root):
        self._root = root
        self._top = _top(root)
        self._git = None
        if self._top is not None:
            # A git hook's variables would lead to another index; a file-system monitor would stay behind.
            environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
            environ.update(GIT_OPTIONAL_LOCKS="0", LC_ALL="C", GIT_TERMINAL_PROMPT="0")
            command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotepath=false", "-C", root]
            null = subprocess.DEVNULL
            try:
                self._git = subprocess.Popen(
                    command + _STATUS, env=environ, stdin=null, stdout=subprocess.PIPE, stderr=null
                )
            except (OSError, ValueError):  # no git here
                self._top = None

    def answer(self):
        """{"digest", "commit", "branch", "dirty"}, without what is not known. Never raises."""
        until = time.monotonic() + _SECONDS
        found = {}
        try:
            if self._git is None:
                found["digest"] = _of_files(self._root, until)
            else:
                self._of_git(found, until)
        except (Unknown, OSError, ValueError, subprocess.SubprocessError):
            found.pop("digest", None)
        finally:
            self.forget()
        return found

    def forget(self):
        """End git, where it still runs."""
        if self._git is not None and self._git.poll() is None:
            self._git.kill()
            self._git.communicate()
        elif self._git is not None and self._git.stdout:
            self._git.stdout.close()
        self._git = None

    def _of_git(self, found, until):
        output = self._git.communicate(timeout=max(until - time.monotonic(), 0.1))[0]
        if self._git.returncode != 0:  # no repository of ours after all: what the files say
            found["digest"] = _of_files(self._root, until)
            return
        commit, branch, entries = _read(output)
        found.update(commit=commit, branch=branch)
        digest = hashlib.blake2b(commit.encode(), digest_size=12)
        reader = _Reader(digest, until)
        found["dirty"] = False
        for path, how, submodule in sorted(entries):
            if _left_behind(self._top, path):
                continue
            found["dirty"] = True
            if submodule:
                raise Unknown
            digest.update(("\0%s\0" % how).encode())
            reader.add(self._top, path)
        found["digest"] = digest.hexdigest()


def _top(root):
    folder = root
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _read(output):
    commit = branch = ""
    entries = []
    for line in os.fsdecode(output).split("\0"):
        kind, _, rest = line.partition(" ")
        if line.startswith("# branch.oid "):
            commit = line[len("# branch.oid ") :].replace("(initial)", "")
        elif line.startswith("# branch.head "):
            branch = line[len("# branch.head ") :].replace("(detached)", "")
        elif kind == "?":
            entries.append((rest, "?", False))
        elif kind in ("1", "u"):
            words = rest.split(" ", 7 if kind == "1" else 9)
            entries.append((words[-1], " ".join(words[:-1]), words[1].startswith("S")))
    return commit, branch, entries


def _of_files(root, until):
    digest = hashlib.blake2b(digest_size=12)
    reader = _Reader(digest, until)
    data = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _left_behind(folder, name + "/"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            if name.endswith((".py", ".pyi")) or name in _CONFIGURATION:
                reader.add(root, path)
            elif len(data) <= _MOST_DATA and _data(path.replace(os.sep, "/")):
                data.append(path)
    for path in data if len(data) <= _MOST_DATA else ():
        reader.add(root, path)
    return digest.hexdigest()


def _data(path):
    """Whether a test may read *path*, and is unlikely to have written it."""
    parts = path.split("/")
    folders, name = parts[:-1], parts[-1]
    if any(one.startswith(".") or one in _WRITTEN_TO or one.endswith(".egg-info") for one in folders):
        return False
    if _left_behind("", name) or name.lower().endswith(_WRITTEN):
        return False
    if name.startswith("."):
        return name.startswith(".env")
    return bool(folders) or not (name.startswith(_REPORTS) and name.endswith(_FORMATS))


def _left_behind(root, path):
    """Whether a test run, a cache or an environment put *path* there."""
    parts = path.split("/")
    folders, name = parts[:-1], parts[-1]
    if name.endswith((".pyc", ".pyo")) or name == ".coverage" or name.startswith(".coverage."):
        return True
    if not _LEFT_BEHIND.isdisjoint(folders):
        return True
    return any(
        os.path.exists(os.path.join(root, *folders[:number], "pyvenv.cfg"))
        for number in range(1, len(folders) + 1)
    )


class _Reader:
    """Adds files to a digest: names, types and contents, within the limits of time and size."""

    def __init__(self, digest, until):
        self._digest, self._until = digest, until
        self._files = self._bytes = 0

    def add(self, root, path):
        self._files += 1
        if self._files > _MOST_FILES or time.monotonic() > self._until:
            raise Unknown
        self._digest.update(os.fsencode(path) + b"\0")
        whole = os.path.join(root, path)
        try:
            state = os.lstat(whole)
        except OSError:
            self._digest.update(b"gone")
            return
        self._digest.update(b"%o " % (state.st_mode & ~0o066))
        if stat.S_ISLNK(state.st_mode):
            self._digest.update(os.fsencode(os.readlink(whole)))
        elif stat.S_ISREG(state.st_mode):
            self._regular(whole, state)

    def _regular(self, whole, state):
        self._digest.update(b"%d " % state.st_size)
        if state.st_size > _MOST_OF_ONE or self._bytes + state.st_size > _MOST_BYTES:
            self._digest.update(b"%d" % state.st_mtime_ns)
            return
        self._bytes += state.st_size
        try:
            with open(whole, "rb") as file:
                self._digest.update(file.read(_MOST_OF_ONE))
        except OSError:
            self._digest.update(b"unreadable")
