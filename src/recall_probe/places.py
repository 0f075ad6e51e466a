"""Where a project's memory lies: the same rules as the command's own, with what pytest's interpreter has."""

import os
import sys

_FOLDER = ".pytest-recall"
_NAME = "pytest-recall"
_SETTING = "PYTEST_RECALL_STORE_FOLDER"
_FOREIGN = "CHROMA_DB_PATH"  # Chroma's own tools call it so


class NoPlace(Exception):
    """No folder can be written; the text says why."""


def inbox(root):
    """The inbox of the memory of the project in *root*, made if need be. Raises NoPlace."""
    folder = os.path.join(root, _setting(root) or os.path.join(main_root(root), _FOLDER))
    folder = os.path.normpath(os.path.abspath(folder))
    try:
        return _made(folder)
    except OSError as error:
        import hashlib

        digest = hashlib.blake2b(folder.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        try:
            return _made(os.path.join(_state(), "stores", digest))
        except OSError:
            raise NoPlace("%s cannot be written: %s" % (folder, error.strerror or type(error).__name__))


def main_root(root):
    """The root of the main work tree of *root*'s repository, shared by its worktrees; else *root*."""
    folder = root
    while True:
        git = os.path.join(folder, ".git")
        if os.path.isdir(git):
            return folder
        if os.path.isfile(git):
            return _main_of(folder, git)
        parent = os.path.dirname(folder)
        if parent == folder:
            return root
        folder = parent


def _main_of(folder, git):
    try:
        private = os.path.join(folder, _line(git).replace("gitdir:", "", 1).strip())
        common = os.path.realpath(os.path.join(private, _line(os.path.join(private, "commondir"))))
    except (OSError, ValueError):
        return folder
    return os.path.dirname(common) if os.path.basename(common) == ".git" and os.path.isdir(common) else folder


def _line(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(4096).strip()


def _made(folder):
    found = os.path.join(folder, "inbox")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.makedirs(found, mode=0o700, exist_ok=True)
    ignore = os.path.join(folder, ".gitignore")
    if not os.path.exists(ignore):
        with open(ignore, "w", encoding="ascii") as file:
            file.write("*\n")
    if not os.access(found, os.W_OK):
        raise PermissionError(13, "not writable", found)
    return found


def _setting(root):
    """`store_folder`: of the environment, the project's `.env`, its `pyproject.toml`, in that order."""
    dotenv = _dotenv(os.path.join(root, ".env"))
    for source in (os.environ, dotenv):
        for name in (_SETTING, _FOREIGN):
            if source.get(name):
                return source[name]
    return _pyproject(os.path.join(root, "pyproject.toml"))


def _dotenv(path):
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(1 << 20).splitlines()
    except (OSError, ValueError):
        return found
    for line in lines:
        name, sign, value = line.strip().partition("=")
        name = name.replace("export ", "", 1).strip()
        if sign and name in (_SETTING, _FOREIGN):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name] = value[1:-1] if quoted else value.split(" #")[0].strip()
    return found


def _pyproject(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if "pytest-recall" not in text:
            return ""
        table = _toml(text).get("tool", {}).get("pytest-recall", {})
        return str(table.get("store_folder") or table.get("store-folder") or "")
    except Exception:  # its absence is normal, and a broken one is pytest's to report
        return ""


def _toml(text):
    """Parsed by whatever this interpreter has: Python 3.11 its own, before that what pytest itself needs."""
    for name in ("tomllib", "tomli", "toml"):
        try:
            return __import__(name).loads(text)
        except ImportError:
            continue
    return {}


def _state():
    """The user's folder for state, as platformdirs has it."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        return os.path.join(base, _NAME, _NAME)
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", _NAME)
    base = os.environ.get("XDG_STATE_HOME", "").strip() or os.path.join(home, ".local", "state")
    return os.path.join(base, _NAME)
