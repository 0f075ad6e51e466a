"""`demo`: a conversation with the real server about the sample project, printed as it goes."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_recall.cli import door


def add(commands: door.Commands) -> None:
    demo = commands.add("demo", "hold a conversation with the real server about a sample project", _demo)
    demo.add_argument("--keep", metavar="FOLDER", help="leave the sample project there")


async def _demo(options: argparse.Namespace) -> int:
    import json
    import tempfile
    import time
    from dataclasses import asdict

    from pytest_recall import demo
    from pytest_recall.cli import conversing

    began = time.perf_counter()
    turns = []
    with tempfile.TemporaryDirectory(prefix="pytest-recall-demo-") as aside:
        async for turn in demo.conversation(Path(options.keep or aside)):
            turns.append(turn)
            if not options.json:
                with door.printing():
                    conversing.turn(turn)
    with door.printing():
        if options.json:
            print(json.dumps([asdict(turn) for turn in turns]))
        else:
            conversing.closing(turns, time.perf_counter() - began)
    return 1 if any("error" in turn.answer for turn in turns) else 0
