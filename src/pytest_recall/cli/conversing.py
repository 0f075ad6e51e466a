"""How the demo's conversation looks to a person at a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pytest_recall.cli.terminal import plain
from pytest_recall.demo import Turn


def turn(one: Turn) -> None:
    """Print one turn of the demo's conversation."""
    console = Console(highlight=False, width=min(Console().width, 120))
    console.print(Text(f"\n▸ {one.why}", style="bold"))
    if not one.tool:
        return
    arguments = ", ".join(f"{name}={value!r}" for name, value in one.arguments.items())
    console.print(Text(f"  {one.tool}({arguments})", style="cyan"))
    text = json.dumps(one.answer, ensure_ascii=False)
    shown = text if len(text) <= 1_200 else text[:1_200] + f"… ({len(text) - 1_200} more)"  # noqa: PLR2004
    console.print(Padding(Text(plain(shown)), (0, 0, 0, 2)))
    console.print(Text(f"  {one.characters} characters, {one.seconds:.2f} s", style="dim"))


def closing(turns: Sequence[Turn], seconds: float) -> None:
    """Print what the demo's conversation cost, and what to do next."""
    calls = [one for one in turns if one.tool and one.tool != "tools/list"]
    console = Console(highlight=False)
    console.print(
        Text(
            f"\n{len(calls)} calls, {sum(one.characters for one in calls)} characters read, {seconds:.1f} s in all.\n"
            "Next, in a project of yours: `pytest-recall run`; and `pytest-recall install claude-code` (or another client).",
            style="bold",
        )
    )
