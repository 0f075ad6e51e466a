"""What `--lf` means by failed: kept by us, because runs side by side would each undo what the other wrote.

pytest reads its list when a session begins and writes it whole when it ends; one that crashes writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_recall.model import Outcome, Run
from pytest_recall.running.spool import read, write

_OURS = "lastfailed.json"
_PYTESTS = Path("v", "cache", "lastfailed")
_LOCK_S = 2.0
_CUT = "…#"  # in an id that is too long to be told whole (`recall_probe.stream.node_id`)


def restore(cache: Path) -> None:
    """Before a run: let pytest find what is known to fail."""
    _update(cache, set(), _nothing)


def settle(cache: Path, run: Run) -> None:
    """After *run*: what it found failing is failing, and what it ran well no longer is."""
    ends = [(one.id, one.outcome) for one in run.tests.others]
    ends += [(one.id, one.outcome) for one in run.collectors]
    failed = {name for name, outcome in ends if outcome.bad}
    bad = {
        name for name, outcome in ends if outcome.bad and outcome is not Outcome.NOT_RUN and _CUT not in name
    }

    def good(known: set[str]) -> set[str]:
        ran = known.intersection(run.tests.ids) | {name for name, outcome in ends if not outcome.bad}
        # A file that failed to be collected, and now was.
        return (ran - failed | {test.partition("::")[0] for test in run.tests.ids}) - bad

    _update(cache, bad, good)


def _nothing(_: set[str]) -> set[str]:
    return set()


def _update(cache: Path, bad: set[str], good: Callable[[set[str]], set[str]]) -> None:
    """Apply to our list what changed, and make pytest's the same. A list that is busy or unwritable stays as it is."""
    ours, pytests = cache / _OURS, cache / _PYTESTS
    if not (bad or ours.exists() or pytests.exists()):
        return
    with suppress(OSError, Timeout):
        pytests.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{_OURS}.lock", timeout=_LOCK_S):
            before = read(ours if ours.exists() else pytests)
            mended = good(set(before))
            after = {name: True for name in before if name not in mended} | dict.fromkeys(bad, True)
            if after != before or not ours.exists():
                write(ours, after)
            if read(pytests) != after:
                write(pytests, after)
