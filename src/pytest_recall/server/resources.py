"""The resources: runs, their output and report, tests and causes of failure, whole and as JSON or text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from pytest_recall.answers import resource
from pytest_recall.app import App
from pytest_recall.errors import RecallError, UnknownTest
from pytest_recall.server import asking

P = ParamSpec("P")


def _readable(read: Callable[P, Awaitable[str]]) -> Callable[P, Awaitable[str]]:
    """*read* with our errors as the protocol's "no such resource"."""

    @wraps(read)
    async def call(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await read(*args, **kwargs)
        except RecallError as error:
            raise ResourceNotFoundError(str(error)) from error

    return call


def add(server: MCPServer[App]) -> None:
    @server.resource("pytest-recall://runs/{run_id}", name="run", mime_type="application/json")
    @_readable
    async def run(run_id: str, ctx: Context[App]) -> str:
        """A run, whole and typed."""
        return resource.run((await asking.app(ctx).report("", run_id)).run)

    @server.resource("pytest-recall://runs/{run_id}/output", name="output", mime_type="text/plain")
    @_readable
    async def output(run_id: str, ctx: Context[App]) -> str:
        """What pytest printed in a run."""
        return resource.output(await asking.app(ctx).files("", run_id))

    @server.resource("pytest-recall://runs/{run_id}/log", name="log", mime_type="text/plain")
    @_readable
    async def log(run_id: str, ctx: Context[App]) -> str:
        """What the tests of a run logged."""
        return resource.log(await asking.app(ctx).files("", run_id))

    @server.resource("pytest-recall://runs/{run_id}/report", name="report", mime_type="application/json")
    @_readable
    async def report(run_id: str, ctx: Context[App]) -> str:
        """The JSON report of a run, in pytest-json-report's format."""
        app = asking.app(ctx)
        return resource.report((await app.report("", run_id)).run, await app.files("", run_id))

    @server.resource("pytest-recall://tests/{+test_id}", name="test", mime_type="application/json")
    @_readable
    async def test(test_id: str, ctx: Context[App]) -> str:
        """What is known of a test."""
        return resource.test(await asking.app(ctx).test("", test_id))

    @server.resource("pytest-recall://failures/{fingerprint}", name="failure", mime_type="application/json")
    @_readable
    async def failure(fingerprint: str, ctx: Context[App]) -> str:
        """What is known of a cause of failure."""
        known = await asking.app(ctx).failures("", fingerprint=fingerprint, limit=1)
        if not known:
            raise UnknownTest(f"No failure has the fingerprint {fingerprint[:80]!r}.")
        return resource.failure(known[0])
