"""The prompts: what a person starts with one word, and which calls it takes."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, GetPromptResult, InputRequiredResult
from pydantic import Field

from pytest_recall.app import App
from pytest_recall.errors import listed, quoted


class Prompting(MCPServer[App]):
    """A server that says which prompts and arguments there are, where the SDK has an internal error and a traceback."""

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[App, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        known = {
            one.name: [argument.name for argument in one.arguments or ()] for one in await self.list_prompts()
        }
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {quoted(name)}. There are {listed(known)}.")
        if unknown := sorted(set(arguments or {}).difference(known[name])):
            takes = listed(known[name])
            raise MCPError(INVALID_PARAMS, f"{name} has no argument {listed(unknown)}. It takes {takes}.")
        return await super().get_prompt(name, arguments, context)


def add(server: MCPServer[App]) -> None:
    server.prompt(title="Fix the failing tests")(fix_failures)
    server.prompt(title="Triage flaky tests")(triage_flaky)
    server.prompt(title="Review a change by its tests")(review_change)


def fix_failures(
    run_id: Annotated[str, Field(description="the run to mend; default: run everything now")] = "",
) -> str:
    """Find the cause of a run's failures and mend it."""
    where = f"test_history(view='run', run_id={quoted(run_id)}, detail='full')" if run_id else "run_tests()"
    return (
        f"Call {where}. Take the groups of failures one by one, new ones first; leave those called flaky or "
        "pre_existing to the end. Find the cause in the code, mend the code and not the test, then call "
        "run_tests(tests=[…the group's tests], intent='what you changed'), and the whole suite last."
    )


def triage_flaky(
    test_id: Annotated[str, Field(description="one test; default: all that are known as flaky")] = "",
) -> str:
    """Go through the flaky tests and say what makes each one so."""
    first = (
        f"Take the test {quoted(test_id)}: "
        if test_id
        else "Call test_history(view='flaky'). For each test: "
    )
    return (
        f"{first}test_history(view='test', test=…), then "
        "run_tests(tests=[…], repeat=10, detail='full'). Say what differs between its passing and failing runs "
        "(time, order, shared state, network), and propose a fix; quarantine only what you can't explain."
    )


def review_change(
    base: Annotated[
        str, Field(description="revision, run id or space to compare with; default: the last run")
    ] = "",
    markers: Annotated[str, Field(description="-m expression that narrows the tests, e.g. 'not slow'")] = "",
) -> str:
    """Say what a change breaks, mends and leaves untested, without mending anything."""
    only = f"markers={quoted(markers)}, " if markers else ""
    beside = f", base_run_id={quoted(base)}" if base else ""
    return (
        "Read the diff of the change first. Call "
        f"run_tests({only}confirm=3, intent='review: what the change is meant to do'), then "
        f"test_history(view='compare'{beside}). Report, and mend nothing: each regression with its cause and the line of "
        "the change behind it; apart from them what is flaky or pre_existing; tests that vanished or were weakened, since "
        "fewer tests are no better result; changed code that no test reached. Say 'passed' only if status says so."
    )
