"""The server started as a client would start it: its command, folder and bare environment, until it lists its tools."""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import anyio
from mcp import Client as McpClient
from mcp.client.stdio import StdioServerParameters, stdio_client

from pytest_recall.errors import quoted
from pytest_recall.install.clients import Machine
from pytest_recall.install.launch import Trial
from pytest_recall.install.places import Configured

WITHIN_S = 15.0  # Codex waits 10 s, most others longer; a loaded machine is no broken entry
AT_ONCE = 2
_VARIABLE = re.compile(r"\$\{(workspaceFolder|userHome|env:(\w+))\}")


async def start_all(found: Sequence[Configured], on: Machine, root: Path) -> list[Trial]:
    """A trial of each, some at once, each within `WITHIN_S`."""
    trials = [Trial()] * len(found)
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def one(index: int) -> None:
        async with limit:
            trials[index] = await start(found[index], on, root)

    async with anyio.create_task_group() as tasks:
        for index in range(len(found)):
            tasks.start_soon(one, index)
    return trials


async def start(found: Configured, on: Machine, root: Path, *, within_s: float = WITHIN_S) -> Trial:
    """Start that entry's server as its client would with *root* open, and ask for its tools."""
    began = time.perf_counter()
    with io.TextIOWrapper(tempfile.TemporaryFile(), "utf-8", errors="replace") as errors:
        try:
            with anyio.fail_after(within_s):
                tools = await _tools(parameters(found, on, root), errors)
        except TimeoutError:
            return Trial(trouble=f"it did not list its tools within {within_s:g} s{_said(errors)}")
        except OSError as error:
            return Trial(trouble=f"it cannot be started ({error.strerror or error})")
        except Exception as error:  # noqa: BLE001 - a foreign program's every way to fail is the finding
            return Trial(trouble=f"it ended before it listed its tools ({_first(error)}){_said(errors)}")
    return Trial(tools=tools, seconds=time.perf_counter() - began)


def parameters(found: Configured, on: Machine, root: Path) -> StdioServerParameters:
    """What *found*'s client would start, with *root* open."""
    client, launch = found.client, found.launch

    def plain(text: str) -> str:
        return _VARIABLE.sub(lambda match: _value(match, on, root), text)

    opened = found.scope == "project" or client.follows
    path = on.environ.get("PATH", "") if client.terminal else on.minimal_path
    env = {"PATH": path} | ({"CLAUDE_PROJECT_DIR": str(root)} if client.name == "claude-code" else {})
    return StdioServerParameters(
        command=plain(launch.command),
        args=[plain(arg) for arg in launch.args],
        env=env | {key: plain(value) for key, value in launch.env.items()},
        cwd=(root if opened else Path(on.home)) / plain(launch.cwd),
    )


async def _tools(server: StdioServerParameters, errors: TextIO) -> tuple[str, ...]:
    async with McpClient(
        stdio_client(server, errlog=errors), mode="legacy"
    ) as client:  # as clients are today
        return tuple(tool.name for tool in (await client.list_tools()).tools)


def _value(match: re.Match[str], on: Machine, root: Path) -> str:
    if match[2]:
        return on.environ.get(match[2], "")
    return str(root if match[1] == "workspaceFolder" else on.home)


def _said(errors: TextIO) -> str:
    """The end of what the server wrote on stderr, as words of the message."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read(100_000).splitlines() if line.strip()]
    return f"; its last words: {quoted(lines[-1])}" if lines else ""


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return quoted(str(error) or type(error).__name__)
