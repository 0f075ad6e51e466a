"""The door for agents: MCP tools, resources and prompts over the use cases. It translates, never decides."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from mcp.server.mcpserver import MCPServer

from pytest_recall import __version__
from pytest_recall.answers import discovery as discovered
from pytest_recall.answers import learnt, views
from pytest_recall.answers import run as ran
from pytest_recall.app import App
from pytest_recall.server import completing, prompts, resources, tools
from pytest_recall.server.form import tool

INSTRUCTIONS = (
    "Runs this project's pytest in its own environment and remembers every run: use run_tests instead of pytest in a "
    "shell, after each edit. Its answer says what failed and why, whether it is new, known or flaky, and what to do next."
)


def build(make_app: Callable[[], App]) -> MCPServer[App]:
    """The server, ready to be served; *make_app* is called when serving begins."""
    serving: list[App] = []  # completions get no context to find the app in

    @asynccontextmanager
    async def lifespan(_: MCPServer[App]) -> AsyncIterator[App]:
        async with make_app() as app:
            serving.append(app)
            try:
                yield app
            finally:
                serving.remove(app)

    with _plain_log():
        server = prompts.Prompting(
            "pytest-recall",
            title="pytest-recall",
            version=__version__,
            instructions=INSTRUCTIONS,
            lifespan=lifespan,
            log_level="WARNING",
            subscriptions=False,  # nothing here changes under a client that would have to be told
            tools=[
                tool(tools.discover_tests, "Discover tests", discovered.DiscoveryAnswer),
                tool(tools.run_tests, "Run tests", ran.RunAnswer),
                tool(tools.test_history, "Test history", views.AnyView),  # `verify` runs tests
                tool(tools.record_note, "Record a note", learnt.NoteAnswer),
            ],
        )
    resources.add(server)
    prompts.add(server)
    completing.add(server, serving)
    return server


@contextmanager
def _plain_log() -> Iterator[None]:
    """The SDK sets up rich for its log where it can be imported: 60 ms of every start, and boxes in clients' logs."""
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own word for "not to be imported"
    try:
        yield
    finally:
        del sys.modules["rich"]
