"""What enters the target's interpreter, found on disk without importing it and laid into a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from pytest_recall.errors import RecallError

_PROBE = "recall_probe"


def lay(parent: Path) -> Path:
    """The folder in *parent* that holds `recall_probe/` and nothing else; made once for each content.

    It is on the target's path, where a neighbour of the probe's (our own site-packages) must not be.
    """
    source = _folder(_PROBE)
    if source is None:
        raise RecallError("pytest-recall is installed without its probe (recall_probe): install it again.")
    files = {path.name: path.read_bytes() for path in sorted(source.glob("*.py"))}
    digest = blake2b(b"".join(name.encode() + b"\0" + code for name, code in files.items()), digest_size=8)
    cargo = parent / f"cargo-{digest.hexdigest()}"
    if (cargo / _PROBE / "boot.py").is_file():
        return cargo
    aside = parent / f".cargo-{secrets.token_hex(4)}"
    (aside / _PROBE).mkdir(parents=True, mode=0o700)
    for name, code in files.items():
        (aside / _PROBE / name).write_bytes(code)
    try:
        aside.rename(cargo)
    except OSError:  # another process was faster
        shutil.rmtree(aside, ignore_errors=True)
    with suppress(OSError):
        os.utime(cargo)
    return cargo


def json_report() -> Path | None:
    """The folder of pytest-json-report's package, for targets that have none of their own."""
    return _folder("pytest_jsonreport")


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
