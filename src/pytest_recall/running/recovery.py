"""Runs whose server died: told from what their processes had written until then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pytest_recall.model import Crashed, Interrupted, Run, RunFiles
from pytest_recall.running import evidence, jsonreport, report
from pytest_recall.running.ledger import Launch, Ledger
from pytest_recall.running.report import Ended
from pytest_recall.running.spool import RunFolder, Spool, read

_SUPERVISOR_SECONDS = 3.0  # it ends everything within one second of our death, and then says so
_TICK = 0.05
_KILLED = 9  # SIGKILL, by its number on systems that have no such name too
_LOST = Interrupted(reason="The process that watched this run died.")


def recover(spool: Path) -> Iterator[tuple[Run, RunFiles, Callable[[], None]]]:
    """The runs in *spool* whose server died, as far as they came; the callable removes what was kept of one.

    Call it when the run is durable elsewhere; until then no other process recovers the same run. May
    wait up to 3 s for the last processes of a run to be ended.
    """
    until = time.monotonic() + _SUPERVISOR_SECONDS
    for folder in Spool(spool).dead():
        try:
            found = _told(folder, until)
        except (ValueError, TypeError, KeyError, AttributeError):  # torn, or another version's
            found = None
        if found is None:
            folder.remove()
        else:
            yield *found, folder.remove


def _told(folder: RunFolder, until: float) -> tuple[Run, RunFiles] | None:
    origin = report.origin_of(folder.read_story())
    ledger = Ledger(root=origin.target.root, clock=time.monotonic)
    ends, doubts, last = [], [], origin.started_at
    for place in folder.launches():
        configuration = read(place / "cfg.json")
        if not configuration:
            continue  # it died before this launch began
        launch = ledger.begin(int(configuration.get("repetition", 0)))
        while not (place / "exit.json").exists() and time.monotonic() < until:
            time.sleep(_TICK)
        with evidence.Reader(place / "events.jsonl", ledger.add) as reader:
            while reader.read():
                pass
        last = max(last, _modified(place / "events.jsonl"))
        end = _ended(place, launch)
        how = report.termination(end)
        ledger.end(crashed=isinstance(how, Crashed) and not how.at_exit)
        doubts += jsonreport.doubts(evidence.json_report(place), ledger.attempts)
        ends.append(end)
    if not ends:
        return None
    output = folder.read_output()
    run = report.build(
        origin,
        ledger,
        ends,
        duration_s=max(last - origin.started_at, 0.0),
        doubts=doubts,
        output_tail=output.decode("utf-8", "replace"),
        output_bytes=len(output),
    )
    return run, RunFiles(output=output, log=folder.read_log())


def _ended(place: Path, launch: Launch) -> Ended:
    """How a launch ended that perhaps nobody saw end.

    A process that was killed then was killed because its server had died: that is no crash of its own.
    Where the session had come to its end, the exit code that it gave stands.
    """
    end = evidence.ended(place, launch, fallback=None, why=evidence.why(place))
    if end.why is not None or end.exit_code not in {None, -_KILLED}:
        return end
    if launch.finish is not None and launch.ended and launch.interrupt is None:
        return replace(end, exit_code=launch.finish.exit)
    return replace(end, why=_LOST)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
