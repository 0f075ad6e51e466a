"""What the folder of one launch tells: its fact stream while it goes on, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Self

import anyio.lowlevel

from pytest_recall.errors import NoPytest, quoted
from pytest_recall.model import Cancelled, Interrupted, Stack, Target, TimedOut
from pytest_recall.running import events, jsonreport, usage
from pytest_recall.running.events import Event
from pytest_recall.running.ledger import Launch
from pytest_recall.running.report import Ended
from pytest_recall.running.spool import read, write

PIECE = 2**18  # bytes that are read at once
_MOST_STACK = 20_000
_UNSEEN = 125  # nobody saw pytest end
_USAGE_ERROR = 4


class Reader:
    """Follows the fact stream at *path* and hands every event to *take*; it is closed by leaving its block.

    The file is held from when it is first there: a test may remove or rename it, and is written on all the same.
    """

    def __init__(self, path: Path, take: Callable[[Event], None]) -> None:
        self._path = path
        self._take = take
        self._file: BinaryIO | None = None
        self._lines = events.Lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def dropped(self) -> int:
        return self._lines.dropped

    async def drain(self) -> None:
        """Take in all that has been written until now, a piece at a time."""
        while self.read():
            await anyio.lowlevel.checkpoint()

    def read(self) -> bool:
        """Take in one piece; whether there may be more."""
        try:
            if self._file is None:
                self._file = self._path.open("rb", buffering=0)
            data = self._file.read(PIECE)
        except OSError:  # not yet there
            return False
        for line in self._lines.feed(data):
            event = events.decode(line)
            if event is not None:
                self._take(event)
        return len(data) == PIECE


def ended(
    folder: Path,
    launch: Launch,
    *,
    fallback: int | None,
    why: TimedOut | Cancelled | Interrupted | None,
    printed: bytes = b"",
) -> Ended:
    """How the launch in *folder* ended, from what its supervisor wrote; *fallback* is our child's exit code.

    What it *printed* tells why where pytest refused to begin before our plugin was there.
    """
    fact = read(folder / "exit.json")
    code = fact.get("rc") if fact else _code(fallback)
    names = fact.get("names")
    killed = fact.get("killed")
    if why is None and fallback is not None and (fallback < 0 or (fallback == _UNSEEN and not fact)):
        why = Interrupted(reason="A process that watched this run was killed.")
    boot, startup = read(folder / "boot.json"), read(folder / "startup.json")
    if launch.session is None and not startup and code == _USAGE_ERROR:
        startup = {"message": usage.why(printed)}
    elif launch.session is None and not startup and not boot and type(code) is int and code >= 0:
        startup = {"message": f"It ended with exit code {code} and never came to pytest. Is it a Python?"}
    return Ended(
        launch=launch,
        exit_code=code if type(code) is int else None,
        clean=fact.get("clean") is not False,
        killed=tuple(str(name)[:300] for name in names[:20]) if killed and isinstance(names, list) else (),
        why=why,
        boot=boot,
        startup=startup,
        stacks=_stacks(folder),
    )


def note_why(folder: Path, why: TimedOut | Cancelled) -> None:
    """Write down why the launch in *folder* is being ended, for whoever has to tell of it after us."""
    with suppress(OSError):
        write(folder / "why.json", {"kind": type(why).__name__} | asdict(why))


def why(folder: Path) -> TimedOut | Cancelled | None:
    """What `note_why` wrote."""
    match read(folder / "why.json"):
        case {"kind": "TimedOut", "limit_s": float(limit), "test": str(test)}:
            return TimedOut(limit_s=limit, test=test)
        case {"kind": "Cancelled"}:
            return Cancelled()
        case _:
            return None


def _code(supervisor: int | None) -> int | None:
    """The exit code of pytest by its supervisor's own, where a full disk has kept it from saying more."""
    if supervisor is None or supervisor < 0 or supervisor == _UNSEEN:
        return None
    return 128 - supervisor if supervisor > 128 else supervisor  # noqa: PLR2004 - the shell's convention


def _stacks(folder: Path) -> tuple[Stack, ...]:
    found = []
    for path in sorted(folder.glob("stack-*.txt"))[:64]:
        pid = path.stem.removeprefix("stack-")
        with suppress(OSError), path.open("rb") as file:
            text = file.read(_MOST_STACK).decode("utf-8", "replace").strip()
            if text and pid.isdigit():
                found.append(Stack(pid=int(pid), text=text))
    return tuple(found)


def json_report(folder: Path) -> bytes:
    path = folder / "report.json"
    try:
        if path.stat().st_size > jsonreport.MOST_BYTES:
            return b""
        return path.read_bytes()
    except OSError:
        return b""


def unstarted(launch: Launch, error: OSError) -> Ended:
    startup = {"message": f"The interpreter could not be started: {error}"}
    return Ended(launch=launch, exit_code=None, boot={}, startup=startup)


def refuse_without_pytest(end: Ended, target: Target) -> None:
    if end.boot.get("error") != "no-pytest":
        return
    missing = str(end.boot.get("missing") or "pytest")[:100]
    raise NoPytest(
        f"{target.python} (chosen because: {target.source}) cannot import pytest: {quoted(missing)} is missing."
        f" Install it there (`{target.python} -m pip install pytest`), or name another interpreter by --python or"
        " PYTEST_RECALL_PYTHON."
    )
