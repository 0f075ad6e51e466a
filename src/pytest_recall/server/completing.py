"""Completions: run ids, test ids, causes of failure and markers, as far as they are known without a run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from pytest_recall.app import App
from pytest_recall.errors import RecallError
from pytest_recall.model import Function, RunRequest

MOST = 100  # the protocol's limit
LOOKED_AT = 1_000  # of the latest runs and causes
LAST = 5  # runs whose tests are offered
PATIENCE_S = 8.0  # a collection that takes longer is of no use to somebody who types
FRESH_S = 30.0
_NO_NAME = re.compile(r"\W")


def add(server: MCPServer[App], serving: Sequence[App]) -> None:
    """Let *server* complete; *serving* holds the use cases while it serves, since no context is handed on here."""
    collected = _Collected()
    known = {
        "run_id": _runs,
        "base": _bases,
        "test_id": collected.tests,
        "fingerprint": _causes,
        "markers": collected.markers,
    }

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK's own lack
    async def complete(
        _ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        if not serving or argument.name not in known:
            return None
        word = argument.value
        if argument.name == "markers":  # an expression, and its last word is being typed
            word = _NO_NAME.split(word)[-1]
        before = argument.value.removesuffix(word)
        try:
            found = _fitting(word, await known[argument.name](serving[0]))
        except RecallError:  # no project, no pytest: nothing to offer, and no moment to teach
            return None
        values = [before + name for name in found[:MOST]]
        return Completion(values=values, total=len(found), has_more=len(found) > MOST)


def _fitting(typed: str, known: Iterable[str]) -> list[str]:
    """What begins with *typed*, then what has it somewhere; no case, and each once."""
    low = typed.lower()
    found = [name for name in dict.fromkeys(known) if low in name.lower()]
    return sorted(found, key=lambda name: not name.lower().startswith(low))


async def _runs(app: App) -> list[str]:
    return [row.id for row in await app.runs("", limit=LOOKED_AT)]


async def _bases(app: App) -> list[str]:
    rows = await app.runs("", limit=LOOKED_AT)
    commits = [row.revision.commit for row in rows if row.revision.commit]
    return [*(row.id for row in rows), *commits, *(row.space for row in rows)]


async def _causes(app: App) -> list[str]:
    return [cause.fingerprint for cause in await app.failures("", limit=LOOKED_AT)]


class _Collected:
    """The last collection, kept for a moment: each key that is typed asks again."""

    def __init__(self) -> None:
        self._functions: tuple[Function, ...] = ()
        self._until = 0.0
        self._one = anyio.Lock()

    async def tests(self, app: App) -> list[str]:
        """The tests of the last runs, or where there was none, those that there are."""
        store = (await app.workspaces.get("")).store
        runs = [await store.run(row.id) for row in await store.runs(limit=LAST, asked=True)]
        seen = [test for run in runs if run for test in run.tests.ids]
        return seen or [function.id for function in await self._collect(app)]

    async def markers(self, app: App) -> list[str]:
        return sorted({name for function in await self._collect(app) for name in function.markers})

    async def _collect(self, app: App) -> tuple[Function, ...]:
        async with self._one:
            if time.monotonic() > self._until:
                self._functions = ()
                with anyio.move_on_after(PATIENCE_S):
                    self._functions = (await app.discover("", RunRequest(), full=True)).discovery.functions
                self._until = time.monotonic() + FRESH_S
            return self._functions
