"""Plain pytest sessions that the plugin captured: each told from the one file that it left in the inbox.

A file is taken once its session has ended, or nobody is left to write it: then the session crashed, and
what had finished by then is told. `recall_probe/capture.py` says what the file holds.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from pytest_recall import ci
from pytest_recall.errors import StoreUnavailable, UnreadableRun, quoted
from pytest_recall.model import Crashed, Revision, Run, RunFiles, RunRequest, Space, Target
from pytest_recall.running import events, evidence, report
from pytest_recall.running.events import Event
from pytest_recall.running.ledger import Ledger
from pytest_recall.running.report import Ended

SUFFIX = ".jsonl"
FIRST = b'{"e":"capture"'  # how such a file begins
_FORMAT = 2  # 1: every test has a `finish`
_LOCK = "inbox.lock"
_MOST = 1 << 30  # bytes of a file
_TAIL = 65_536
_SILENT_S = 3_600.0  # a file of another machine's, or container's, whose end never came
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGEST, _COMMIT = re.compile(r"[0-9a-f]{24}"), re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

Keep = Callable[[Run, RunFiles], None]


class FromLater(UnreadableRun):
    """A session that a later version of the plugin captured: nothing is wrong with it."""


def waiting(inbox: Path) -> list[Path]:
    """The files of captured sessions in *inbox*, oldest first, those that are still going on too."""
    with os.scandir(inbox) as entries:
        return sorted(inbox / entry.name for entry in entries if entry.name.endswith(SUFFIX))


def take(
    inbox: Path,
    keep: Keep,
    *,
    known: Callable[[str], bool],
    aside: Callable[[Path], None],
    wait_s: float = 0.0,
) -> list[Run]:
    """Hand the sessions in *inbox* that are over to *keep*, and remove their files; what cannot be read goes *aside*.

    One process at a time: another finds nothing to do, unless it waits for *wait_s* seconds.
    """
    taken: list[Run] = []
    try:
        with FileLock(inbox.parent / _LOCK, timeout=wait_s):
            for path in waiting(inbox):
                try:
                    found = read(path)
                except FileNotFoundError:
                    continue
                except FromLater:
                    continue
                except (UnreadableRun, OSError):
                    aside(path)
                    continue
                if found is None:
                    continue
                if not known(found[0].id):  # else whoever kept it died before it had removed the file
                    keep(*found)
                    taken.append(found[0])
                path.unlink(missing_ok=True)
    except (Timeout, OSError, StoreUnavailable):
        pass  # another process is at it, or the disk is full: what is there stays there
    return taken


def read(path: Path) -> tuple[Run, RunFiles] | None:
    """The run that *path* tells of; None while it is going on.

    Raises:
        UnreadableRun: it is no file of the plugin's, or of a later version's.
    """
    if not stat.S_ISREG(path.lstat().st_mode):  # to open a pipe would wait for its other end
        raise UnreadableRun(f"{path.name} is no regular file.")
    with path.open("rb") as file:
        head = _head(file.readline(events.MOST_LINE))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        last = _last(file.read(_TAIL))
    if head.id != path.stem:
        raise UnreadableRun(f"{path.name} holds another session: {quoted(head.id)}.")
    if last.get("e") != "end" and _alive(head, path):
        return None
    return _told(head, path, until=last.get("t"))


def brought(data: bytes, root: str, space: Space) -> Run:
    """The run in a file that came from elsewhere, such as an artefact of CI: of the project in *root*, and over.

    Raises:
        UnreadableRun: it is no file of the plugin's, or of a later version's.
    """
    head = _head(data[: data.find(b"\n") + 1])
    story = _Story(head)
    for line in events.Lines().feed(data):
        story.take_line(line)
    run = story.run(until=_last(data[-_TAIL:]).get("t"))
    where = space if head.space is None and run.ci is None else run.space
    return replace(run, target=replace(run.target, root=root), rootdir=root, space=where)


# --- the first line -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    id: str
    at: float
    pid: int
    began: int
    host: str
    target: Target
    request: RunRequest
    environ: dict[str, str]
    space: Space | None
    boot: dict[str, Any]


def _head(line: bytes) -> _Head:
    fact = events.load(line.rstrip(b"\n")) or {}
    if fact.get("e") != "capture" or type(fact.get("format")) is not int:
        raise UnreadableRun("This is no session that the plugin captured.")
    if fact["format"] > _FORMAT:
        raise FromLater(
            "A later version of pytest-recall-plugin captured this session; update pytest-recall."
        )
    identity = _text(fact.get("id"), 36)
    at = fact.get("t")
    if not _ID.fullmatch(identity) or not isinstance(at, float):
        raise UnreadableRun("The head of a captured session is damaged.")
    root, python = _text(fact.get("root"), 4_096), _text(fact.get("python"), 4_096)
    environ = fact.get("environ")
    space = fact.get("space")
    return _Head(
        id=identity,
        at=at,
        pid=_whole(fact.get("pid")),
        began=_whole(fact.get("began")),
        host=_text(fact.get("host"), 300),
        target=Target(root=root, python=python, source="the session's own"),
        request=_request(fact.get("request")),
        environ={
            name: value[:1_000]
            for name, value in (environ.items() if isinstance(environ, dict) else ())
            if name in ci.NAMES and isinstance(value, str)
        },
        space=space if space in get_args(Space) else None,
        boot={name: fact.get(name) for name in ("version", "os", "arch", "installed")},
    )


def _request(value: Any) -> RunRequest:
    found = value if isinstance(value, dict) else {}
    return RunRequest(
        tests=_texts(found.get("tests")),
        keyword=_text(found.get("keyword"), 1_000),
        markers=_text(found.get("markers"), 1_000),
        args=_texts(found.get("args")),
        max_failures=_whole(found.get("max_failures")),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item, 4_000) for item in (value[:200] if isinstance(value, list) else ()))


def _text(value: Any, most: int) -> str:
    return value[:most] if type(value) is str else ""


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**53 else 0


# --- whether it is over ---------------------------------------------------------------------


def _last(tail: bytes) -> dict[str, Any]:
    """The last whole line's fact."""
    lines = tail.split(b"\n")
    return next((fact for line in reversed(lines) if line and (fact := events.load(line))), {})


def _alive(head: _Head, path: Path) -> bool:
    """Whether the process that writes *path* may still do so."""
    if head.host != socket.gethostname():
        return time.time() - path.stat().st_mtime < _SILENT_S
    if head.began:  # told by a system that has /proc: a process of that number that began then is the one
        with suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{head.pid}/stat").read_bytes()
            return int(stat.rpartition(b")")[2].split()[19]) == head.began
        return False
    try:
        os.kill(head.pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return head.pid > 0  # 0 is our own group


# --- the story ------------------------------------------------------------------------------


class _Story:
    """What the facts of one file add up to."""

    def __init__(self, head: _Head) -> None:
        self._head = head
        self._ledger = Ledger(root=head.target.root, clock=time.monotonic)
        self._launch = self._ledger.begin(0)
        self._startup: dict[str, Any] = {}
        self._revision: dict[str, Any] = {}

    def take_line(self, line: bytes) -> None:
        event = events.decode(line)
        if event is not None:
            self.take(event)

    def take(self, event: Event) -> None:
        if not isinstance(event, events.Told):
            self._ledger.add(event)
        elif event.kind == "startup":
            self._startup = event.fact
        elif event.kind == "revision":
            self._revision = event.fact

    def run(self, *, until: object, doubts: list[str] | None = None) -> Run:
        head, launch = self._head, self._launch
        over = launch.ended and launch.finish is not None
        code = launch.finish.exit if over and launch.finish else 4 if self._startup else None
        startup = {name: _text(self._startup.get(name), 2_000) for name in ("path", "message", "cause")}
        end = Ended(launch=launch, exit_code=code, boot=head.boot, startup=startup if self._startup else {})
        how = report.termination(end)
        self._ledger.end(crashed=isinstance(how, Crashed) and not how.at_exit)
        pipeline = ci.recognise(head.environ)
        origin = report.Origin(
            id=head.id,
            started_at=head.at,
            request=head.request,
            target=head.target,
            revision=_revision(self._revision),
            space=head.space or ("ci" if pipeline else "local"),
            source="plugin",
            client="",
            ci=pipeline,
        )
        duration = max(until - head.at, 0.0) if isinstance(until, float) else 0.0
        return report.build(origin, self._ledger, [end], duration_s=duration, doubts=doubts or [])


def _told(head: _Head, path: Path, *, until: object) -> tuple[Run, RunFiles]:
    story = _Story(head)
    with evidence.Reader(path, story.take) as reader:
        for _ in _pieces(reader):
            pass
    doubts = [f"{reader.dropped} lines were too long to be read."] if reader.dropped else []
    if path.stat().st_size > _MOST:
        doubts.append(f"Of this session's facts only the first {_MOST >> 20} MB were read.")
    run = story.run(until=until, doubts=doubts)
    return run, RunFiles()


def _pieces(reader: evidence.Reader) -> Iterator[None]:
    for _ in range(_MOST // evidence.PIECE):
        if not reader.read():
            return
        yield


def _revision(fact: dict[str, Any]) -> Revision:
    """As the session told it. What it could not tell in time is no revision that another run could have."""
    digest, commit = _text(fact.get("digest"), 24), _text(fact.get("commit"), 64)
    return Revision(
        digest=digest if _DIGEST.fullmatch(digest) else f"unknown-{secrets.token_hex(8)}",
        commit=commit if _COMMIT.fullmatch(commit) else "",
        branch=_text(fact.get("branch"), 300),
        dirty=fact.get("dirty") is True,
    )
