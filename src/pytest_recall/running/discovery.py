"""What pytest would run: one collection, and errors beside what was found."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import anyio

from pytest_recall.model import (
    Crashed,
    Discovery,
    Finished,
    Function,
    InternalError,
    Interrupted,
    NotStarted,
    Outcome,
    RunRequest,
    Status,
    Target,
    Termination,
    TimedOut,
)
from pytest_recall.running import cargo, command, events, evidence, process, report
from pytest_recall.running.ledger import Ledger
from pytest_recall.running.process import Launcher, Output
from pytest_recall.running.report import Ended
from pytest_recall.running.spool import Spool, write

_GRACE = 0.5


async def discover(
    request: RunRequest,
    target: Target,
    *,
    detail: Literal["names", "full"],
    timeout_s: float,
    spool: Path,
    cache_dir: Path | None = None,
    environ: Mapping[str, str],
    allow_any_args: bool = False,
    launcher: Launcher = process.start,
) -> Discovery:
    """What pytest collects for *request* within *timeout_s* seconds; no test is run.

    Raises:
        BadRequest: the request may not be carried out; see `command.check`.
        NoPytest: the target's interpreter cannot import pytest.
        NoRoom: nothing can be written for it.
    """
    began = time.monotonic()
    request = replace(request, parallel=0, max_failures=0)
    command.check(request, Path(target.root), allow_any_args=allow_any_args)
    with Spool(spool).run_folder(f"discovery-{secrets.token_hex(8)}") as folder:
        built = command.build(
            request,
            target,
            run_folder=(place := folder.launch(0)),
            cargo=cargo.lay(spool),
            environ=environ,
            cache_dir=cache_dir,
            collect=detail,
            allow_any_args=allow_any_args,
        )
        write(place / "cfg.json", built.cfg)
        found = _Found(target)
        output = Output()
        try:
            end = await _collect(found, built, place, launcher=launcher, output=output, timeout_s=timeout_s)
        except OSError as error:
            end = evidence.unstarted(found.launch, error)
    evidence.refuse_without_pytest(end, target)
    return found.discovery(end, output, duration_s=time.monotonic() - began)


async def _collect(
    found: _Found,
    built: command.Command,
    place: Path,
    *,
    launcher: Launcher,
    output: Output,
    timeout_s: float,
) -> Ended:
    why = None
    async with launcher(built, cwd=found.target.root, output=output) as tree:
        with anyio.move_on_after(timeout_s - _GRACE) as limit:
            await tree.gone()
        if limit.cancelled_caught:
            why = TimedOut(limit_s=timeout_s)
            tree.tell(b"D")
            with anyio.move_on_after(_GRACE / 2):
                await tree.gone()
    with evidence.Reader(place / "events.jsonl", found.take) as reader:
        await reader.drain()
    return evidence.ended(place, found.launch, fallback=tree.exit_code, why=why, printed=output.content())


class _Found:
    """The functions that the stream lists, and a ledger for all else it tells."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._ledger = Ledger(root=target.root, clock=time.monotonic)
        self.launch = self._ledger.begin(0)
        self._functions: dict[str, Function] = {}

    def take(self, event: events.Event) -> None:
        if isinstance(event, events.Listed):
            for function in event.functions():
                self._add(function)
        else:
            self._ledger.add(event)

    def _add(self, function: Function) -> None:
        """The facts of one function may come in several parts; they add up."""
        known = self._functions.get(function.id)
        if known is not None:
            params = known.params + function.params
            function = replace(known, params=params, count=known.count + function.count)
        self._functions[function.id] = function

    def discovery(self, end: Ended, output: Output, *, duration_s: float) -> Discovery:
        how, launch = report.termination(end), self.launch
        status = self._status(how)
        if status is Status.USAGE_ERROR:  # what was listed before pytest refused was not what was asked for
            self._functions.clear()
        return Discovery(
            target=self.target,
            rootdir=launch.session.root if launch.session else self.target.root,
            pytest=launch.session.pytest if launch.session else str(end.boot.get("pytest") or "")[:40],
            functions=tuple(self._functions.values()),
            selected=0 if status is Status.USAGE_ERROR else launch.selected or 0,
            deselected=launch.deselected,
            collectors=tuple(self._ledger.collectors.values()),
            status=status,
            message=_message(how, output) if status not in _TOLD else "",
            duration_s=duration_s,
        )

    def _status(self, how: Termination) -> Status:
        """Passed where all was collected and something was found."""
        early = report.cut_short([how])
        if early is not None:
            return early
        if any(collector.outcome is Outcome.ERROR for collector in self._ledger.collectors.values()):
            return Status.COLLECTION_FAILED
        if how == Finished(exit_code=0) and self.launch.selected:
            return Status.PASSED
        return Status.NO_TESTS if not self.launch.selected else Status.FAILED


_TOLD = frozenset({Status.PASSED, Status.COLLECTION_FAILED, Status.NO_TESTS})


def _message(how: Termination, output: Output) -> str:
    """Why there is nothing: pytest's own words where there are some, else the end of its output."""
    match how:
        case NotStarted(message=text) | InternalError(message=text) | Interrupted(reason=text) if text:
            return text
        case TimedOut(limit_s=limit):
            return f"Collecting took more than {limit:g} s. Pass paths, or a longer timeout."
        case Crashed(signal=name) if name:
            return f"pytest died of {name} while it collected."
        case _:
            return output.content()[-2_000:].decode("utf-8", "replace").strip()
