"""Which of the tests that history knows are there no more, and which of them only have another name now."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from anyio.to_thread import run_sync

from pytest_recall.errors import BadRequest
from pytest_recall.history import fate
from pytest_recall.model import Discovery, Fate, RunRow, Status, TestHistory
from pytest_recall.workspace import Workspace

_ROWS = 2_000
_MOST = 2_000  # functions whose sources are compared
_LARGEST = 1_000_000  # characters of one file


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How many tests of the past have another name, or are gone."""

    renamed: int = 0
    gone: int = 0


async def reconcile(space: Workspace, discovery: Discovery) -> Reconciled:
    """Mark what *discovery*, of the whole project and with all parameters, does not find any more.

    A test whose function has its text under another id goes on there with its history.

    Raises:
        BadRequest: the collection failed, so that nothing can be said of what it did not find.
    """
    if discovery.status is not Status.PASSED:
        raise BadRequest(f"Not everything could be collected ({discovery.status.value}): mend that first.")
    there = {f"{function.id}[{params}]" for function in discovery.functions for params in function.params} | {
        function.id for function in discovery.functions if len(function.params) < function.count
    }
    known = {test: one for test, one in (await space.store.tests()).items() if one.samples and not one.gone}
    missing = {test: one for test, one in known.items() if test not in there}
    rows = {row.id: row for row in await space.store.runs(limit=_ROWS)}
    names = await run_sync(_renamed, space, discovery, missing, rows, {_function(test) for test in known})
    now = time.time()
    fates = []
    for test in missing:
        function, bracket, params = test.partition("[")
        became = f"{names[function]}{bracket}{params}" if function in names else ""
        fates.append(Fate(test=test, at=now, became=became if became in there else ""))
    await run_sync(space.store.learn, fates)
    renamed = sum(bool(one.became) for one in fates)
    return Reconciled(renamed=renamed, gone=len(fates) - renamed)


def _renamed(
    space: Workspace,
    discovery: Discovery,
    missing: dict[str, TestHistory],
    rows: dict[str, RunRow],
    known: set[str],
) -> dict[str, str]:
    """Functions of *missing* tests, and the functions that have their texts now."""
    root = Path(discovery.rootdir)
    functions = {function.id for function in discovery.functions}
    last: dict[str, RunRow] = {}  # by function, the last run that it ran in
    for test, history in missing.items():
        row = rows.get(history.samples[-1].run)
        if row is not None and _function(test) not in functions:
            last[_function(test)] = row
    read: dict[tuple[str, str], str] = {}

    def text(tree: str, path: str) -> str:
        if (tree, path) not in read:
            found = space.snapshots.read(root, tree, path) if tree else _file(root / path)
            read[tree, path] = found[:_LARGEST]
        return read[tree, path]

    def body(tree: str, function: str) -> str:
        path, _, name = function.partition("::")
        return fate.body(text(tree, path), name)

    trees = {function: _tree(row) for function, row in last.items()}
    gone = {function: body(tree, function) for function, tree in _first(trees.items()) if tree}
    new = {function: body("", function) for function in sorted(functions - known)[:_MOST]} if gone else {}
    return fate.renamed(gone, new)


def _first(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(items)[:_MOST]


def _function(test: str) -> str:
    return test.partition("[")[0]


def _tree(row: RunRow) -> str:
    return row.revision.tree or ("" if row.revision.dirty else row.revision.commit)


def _file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except OSError:
        return ""
