"""How long a client waits for our tools: `python benchmarks/startup.py [--pairs N]`, in an environment with pytest-recall.

From the start of `pytest-recall serve` to its reply to `tools/list`, beside a bare server of the same SDK with one
trivial tool. Pairs in one run, in alternating order; medians of wall, of the CPU until the process has left, and of the
pairs' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

BARE = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

server.run()
"""
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "startup", "version": "1"},
}


class Cost(NamedTuple):
    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        project.mkdir()
        (project / "pyproject.toml").write_text('[project]\nname = "empty"\nversion = "0"\n')
        (Path(folder) / "bare.py").write_text(BARE)
        commands = {
            "bare": [sys.executable, f"{folder}/bare.py"],
            "ours": [sys.executable, "-m", "pytest_recall", "serve", "--project", str(project)],
        }
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for turn in range(options.pairs + 1):
            for name in sorted(commands, reverse=bool(turn % 2)):
                cost = started(commands[name], project)
                if turn:  # the first one warms up
                    costs[name].append(cost)
    for name, found in costs.items():
        wall, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{name}: {wall * 1000:.0f} ms, CPU {cpu * 1000:.0f} ms")
    pairs = list(zip(costs["ours"], costs["bare"], strict=True))
    wall, cpu = (statistics.median(ours[part] / bare[part] for ours, bare in pairs) for part in (0, 1))
    print(f"ratio: {wall:.3f} wall, {cpu:.3f} CPU")


def started(command: list[str], project: Path) -> Cost:
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        ask(server, {"id": 1, "method": "initialize", "params": HELLO})
        ask(server, {"method": "notifications/initialized"})
        ask(server, {"id": 2, "method": "tools/list"})
        wall = time.perf_counter() - began
        assert server.stdin
        server.stdin.close()
        usage = os.wait4(server.pid, 0)[2]
        server.returncode = 0
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def ask(server: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    """Send *message*, and read until its reply has come where there will be one."""
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    server.stdin.flush()
    while "id" in message:
        reply = json.loads(server.stdout.readline())
        if reply.get("id") == message["id"]:
            assert "result" in reply, reply
            return


if __name__ == "__main__":
    main()
