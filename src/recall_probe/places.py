"""Where a project's memory lies: the same rules as the command's own, with what pytest's interpreter has."""

import os
import re
import sys

_FOLDER = ".pytest-recall"
_NAME = "pytest-recall"
_PREFIX = "PYTEST_RECALL_"
_FOREIGN = {"store_folder": "CHROMA_DB_PATH"}  # Chroma's own tools call it so
_OURS = (_PREFIX, "CHROMA_DB_PATH", "CHROMA_HTTP_URL", "CHROMA_DB_IMPL")  # how names begin
# As python-dotenv reads it: quotes may hold several lines, escapes count between double ones.
_DOTENV = re.compile(
    r"""^[^\S\n]*(?:export[^\S\n]+)?(?:'([^'\n]+)'|([^=#\s]+))[^\S\n]*=(?:[^\S\n]+(?=#)|[^\S\n]*"""
    r"""(?:'((?:\\[\s\S]|[^'\\])*)'|"((?:\\[\s\S]|[^"\\])*)"|((?![^\S\n]*['"])[^\n]*)))[^\S\n]*(?:#[^\n]*)?(?:\n|\Z)""",
    re.MULTILINE,
)
_ESCAPE = re.compile(r"""\\([\\'"abfnrtv])""")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class NoPlace(Exception):
    """No folder can be written; the text says why."""


def inbox(root):
    """The inbox of the memory of the project in *root*, made if need be. Raises NoPlace."""
    folder = setting(root, "store_folder") or os.path.join(main_root(root), _FOLDER)
    folder = os.path.normpath(os.path.join(os.path.abspath(root), folder))
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


def setting(root, name):
    """One of pytest-recall's settings: of the environment, the project's `.env`, its `pyproject.toml`, in that order.

    Of each file the nearest that sets something of ours, up to the work tree's root; a path counts from there.
    """
    names = [_PREFIX + name.upper()] + ([_FOREIGN[name]] if name in _FOREIGN else [])
    above, dotenv = _nearest(root, lambda folder: _dotenv(os.path.join(folder, ".env")))
    for folder, source in ((root, os.environ), (above, dotenv)):
        for each in names:
            if source.get(each):
                return _from(folder, name, source[each])
    above, table = _nearest(root, lambda folder: _pyproject(os.path.join(folder, "pyproject.toml")))
    return _from(above, name, str(table.get(name) or table.get(name.replace("_", "-")) or ""))


def _nearest(root, read):
    """The nearest folder to *root* of whose file something is read, and what; without git only *root* is looked at."""
    folders = [root]
    while not os.path.lexists(os.path.join(folders[-1], ".git")):
        parent = os.path.dirname(folders[-1])
        if parent == folders[-1]:
            folders = [root]
            break
        folders.append(parent)
    for folder in folders:
        found = read(folder)
        if found:
            return folder, found
    return root, {}


def _from(folder, name, value):
    return os.path.join(folder, os.path.expanduser(value)) if value and name == "store_folder" else value


def _dotenv(path):
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            text = file.read(1 << 20)
    except OSError:
        return {}
    pairs = [_assigned(*found.groups()) for found in _DOTENV.finditer(text)]
    return {name: value for name, value in pairs if name.startswith(_OURS) and value}


def _assigned(quoted_name, name, single, double, plain):
    if single is not None:
        value = re.sub(r"\\([\\'])", r"\1", single)
    elif double is not None:
        value = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape.group(1), escape.group(1)), double)
    else:
        value = re.sub(r"\s+#.*", "", plain or "").rstrip()
    return quoted_name or name, value


def _pyproject(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return dict(_toml(text).get("tool", {}).get("pytest-recall", {})) if "pytest-recall" in text else {}
    except Exception:  # its absence is normal, and a broken one is pytest's to report
        return {}


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
