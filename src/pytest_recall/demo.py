"""The demo: a newcomer's first conversation, held with the real server over stdio as a client would."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import TextContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One call and its answer, or (`tool` empty) something that was done between two calls."""

    why: str
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    characters: int = 0  # of the answer's text
    seconds: float = 0.0


def sample() -> Path:
    """The folder of the sample project that ships with us (in a checkout: examples/shop)."""
    here = Path(__file__).parent
    shipped = here / "_shop"
    return shipped if shipped.is_dir() else here.parent.parent / "examples" / "shop"


async def conversation(folder: Path) -> AsyncIterator[Turn]:
    """The turns of the demo, each as soon as it is over, on a copy of the sample under *folder*."""
    project = folder / "shop"
    shutil.copytree(
        sample(), project, ignore=shutil.ignore_patterns("__pycache__", ".pytest-recall", ".pytest_cache")
    )
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "pytest_recall", "serve", "--project", str(project), "--python", sys.executable],
        env=dict(os.environ),
    )
    started = time.perf_counter()
    async with Client(server) as client:
        tools = await client.list_tools()
        yield Turn(
            why="Start the server and ask what it can do",
            tool="tools/list",
            answer={"tools": [tool.name for tool in tools.tools]},
            characters=len(tools.model_dump_json(by_alias=True, exclude_none=True)),
            seconds=time.perf_counter() - started,
        )

        async def call(why: str, tool: str, **arguments: Any) -> Turn:
            began = time.perf_counter()
            result = await client.call_tool(tool, arguments)
            text = "".join(block.text for block in result.content if isinstance(block, TextContent))
            return Turn(
                why=why,
                tool=tool,
                arguments=arguments,
                answer=result.structured_content or {"error": text},
                characters=len(text),
                seconds=time.perf_counter() - began,
            )

        yield await call("What tests are there?", "discover_tests")
        first = await call("Run them all", "run_tests", intent="see how the shop stands")
        yield first
        yield Turn(why=_fix(project))
        env = {"SHOP_RATES": "USD=1.08,GBP=0.86"}
        yield await call(
            "Run what failed, with the setting that the fixture asked for",
            "run_tests",
            only="failed",
            env=env,
            intent="stock: selling the last item is allowed",
        )
        yield await call("Run everything again", "run_tests", env=env)
        yield await call("What does the project's memory say?", "test_history")
        text = "ValueError: only 3 of 'tea' in stock"
        yield await call(
            "Has anybody seen an error like this?", "test_history", view="similar", text=text, limit=1
        )


def _fix(project: Path) -> str:
    """Apply the sample's own one-line fix; tells what was changed."""
    fix = json.loads((project / "fix.json").read_text("utf-8"))
    path = project / fix["file"]
    source = path.read_text("utf-8")
    if source.count(fix["old"]) != 1:
        raise RuntimeError(f"the sample's fix does not fit {fix['file']}")
    path.write_text(source.replace(fix["old"], fix["new"]), "utf-8")
    return f"Edit {fix['file']}: `{fix['old'].strip()}` → `{fix['new'].strip()}`"
