"""What the end-to-end tests share: small projects made on the spot, and a client at the real server's door."""

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import TextContent

from pytest_recall.cli import main

MakeProject = Callable[..., Path]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch) -> None:
    """Spool and caches of ours stay inside the test's own folder."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("PYTEST_RECALL_PYTHON", sys.executable)
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    # Folders that xdist numbers there stand beside everybody's, and are cleaned by anybody.
    monkeypatch.setenv("TMPDIR", str(home))
    # To load all that this environment has would be most of the time of a small project's run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def plugins(own_home, monkeypatch) -> None:
    """For projects that use the plugins of this environment, or are to be seen as people have them."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")


@pytest.fixture
def make_project(tmp_path) -> MakeProject:
    """Make a project from its files' texts."""

    def make(files: dict[str, str], *, name: str = "project") -> Path:
        root = tmp_path / name
        for path, source in {"pytest.ini": "[pytest]\n", **files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(source), "utf-8")
        return root

    return make


def _in_process(
    *words: str, cwd: Path | None = None, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        for name, stream in {
            "stdin": io.TextIOWrapper(io.BytesIO(stdin)),
            "stdout": out,
            "stderr": err,
        }.items():
            patch.setattr(sys, name, stream)
        code = main(words)
    told = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(words, code, *told)


@pytest.fixture(scope="session")
def in_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`in_process("history", "runs", cwd=…, CI="true")`: that command, here: its own start would be most of the time."""
    return _in_process


class Agent:
    """A client as an agent's: calls tools, and checks that text and structure tell one story."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.progress: list[float] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        assert not result.is_error, text
        assert result.structured_content is not None
        assert json.loads(text) == result.structured_content
        return result.structured_content

    async def error(self, tool: str, **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.content
        return "".join(block.text for block in result.content if isinstance(block, TextContent))

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append(progress)


@asynccontextmanager
async def _connect(project: Path, *flags: str, mode: str = "auto", **env: str) -> AsyncIterator[Agent]:
    """A real server process on *project*, with a real client at its stdio."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "pytest_recall", "serve", "--project", str(project), *flags],
        env={**os.environ, **env},
    )
    async with Client(server, mode=mode) as client:
        yield Agent(client)


@pytest.fixture(scope="session")
def connect() -> Callable[..., Any]:
    """`async with connect(project) as agent`: a real server on that project, and an agent at its door."""
    return _connect


@pytest.fixture(scope="session")
def from_npm() -> Callable[[str], list[str]]:
    """`from_npm("mcpb")`: how to start a program that `.ci/run` brings from npm, with the Node that comes beside it."""
    binaries = Path(__file__).parents[2] / ".ci" / "node" / "node_modules" / ".bin"

    def program(name: str) -> list[str]:
        if not (binaries / name).exists() or not (binaries / "node").exists():
            pytest.skip(f"{name} is not there: `npm install --prefix .ci/node` brings it, as .ci/run does")
        return [str(binaries / "node"), str(binaries / name)]

    return program
