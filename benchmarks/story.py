"""One story over a real public project: is each failure told for what it is? `python benchmarks/story.py WORK`

WORK is what `../shared/targets/setup.py WORK` made. On a copy of pluggy, over a real stdio client: a mistake is made
(one line), met, mended and committed; the same failure is made elsewhere; then come a flaky test, a failure that was
there before, one that follows the environment, and modules that are missing. Prints what was told at each step as a
Markdown table; ends with 1 where a step was told wrongly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

TRACING = "src/pluggy/_tracing.py"
RIGHT = 'return bool(text) and text.isprintable() and " " not in text'
WRONG = "return bool(text) and text.isprintable()"
THERE, ELSEWHERE = "if _is_plain_token(obj):", 'if _is_plain_token(obj.replace(" ", "")):'
TEST = "testing/test_tracer.py::test_whitespace_strings_are_quoted"

FLAKY = """
import pathlib

def test_luck():
    turns = pathlib.Path({turns!r})
    turn = int(turns.read_text() or 0) if turns.exists() else 0
    turns.write_text(str(turn + 1))
    assert turn % 2, "no luck"
"""
OLD = "def test_old():\n    assert 'old' == 'new'\n"
FOLLOWS = "import os\n\ndef test_follows():\n    assert 'STORY' not in os.environ\n"


class Story:
    """The project, the agent, and what was told so far."""

    def __init__(self, root: Path, client: Client) -> None:
        self.root = root
        self._client = client
        self.wrong = 0

    async def run(self, **arguments: Any) -> dict[str, Any]:
        call = {"wait_s": 300, **arguments}
        result = await self._client.call_tool("run_tests", call, read_timeout_seconds=400)
        if result.is_error:
            raise SystemExit(result.content[0].text)
        return result.structured_content or {}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text("utf-8")
        if old not in text:
            raise SystemExit(f"{path} has no {old!r}: another version of pluggy?")
        file.write_text(text.replace(old, new), "utf-8")

    def git(self, *words: str) -> None:
        own = ("-c", "user.name=story", "-c", "user.email=story@localhost", "-c", "core.hooksPath=/dev/null")
        subprocess.run(["git", *own, *words], cwd=self.root, check=True, stdout=subprocess.DEVNULL)

    def tell(self, step: str, answer: dict[str, Any], holds: Callable[[dict[str, Any]], object]) -> None:
        cause = next(iter(answer.get("failures", [])), {})
        told = cause.get("verdict") or answer["status"]
        evidence = cause.get("evidence", "")
        if fix := cause.get("fix"):
            evidence += f"; mended before in {', '.join(fix.get('files', []))}: {fix.get('intents', [])}"
        try:
            right = bool(holds(answer))
        except (KeyError, IndexError, ValueError):
            right = False
        self.wrong += not right
        told_of = evidence.replace("|", "/").replace("\n", " ")[:220]
        print(f"| {step} | {told} | {told_of} | {'yes' if right else 'NO'} |", flush=True)


def verdicts(answer: dict[str, Any]) -> dict[str, str]:
    return {test: one.get("verdict", "") for one in answer.get("failures", []) for test in one["tests"]}


async def tell(story: Story, aside: Path) -> None:
    print("| step | told | evidence | right |\n| --- | --- | --- | --- |")
    story.tell("as it came", await story.run(), lambda a: a["status"] == "passed")
    story.edit(TRACING, RIGHT, WRONG)
    red = await story.run(intent="spaces in tokens are fine", confirm=3)
    story.tell("a mistake in one line", red, lambda a: verdicts(a) == {TEST: "regression"})
    story.edit(TRACING, WRONG, RIGHT)
    green = await story.run(intent="tokens with spaces are quoted again")
    story.tell("mended", green, lambda a: a["status"] == "passed")
    story.git("commit", "-qam", "Quote tokens with spaces", "--allow-empty")
    await story.run()
    story.edit(TRACING, THERE, ELSEWHERE)
    again = await story.run()
    story.tell(
        "the same failure, made elsewhere",
        again,
        lambda a: (
            verdicts(a) == {TEST: "recurred"}
            and a["failures"][0]["fix"]["files"] == [TRACING]
            and '" " not in text' in a["failures"][0]["fix"]["hunk"]
        ),
    )
    story.edit(TRACING, ELSEWHERE, THERE)

    (story.root / "testing" / "test_story.py").write_text(FLAKY.format(turns=str(aside / "turns")) + OLD)
    story.git("add", "testing/test_story.py")
    story.git("commit", "-qm", "A flaky test, and one that fails")
    for _ in range(3):
        await story.run(tests=["testing/test_story.py"])
    (aside / "turns").write_text("0")
    (story.root / "src" / "pluggy" / "_unused.py").write_text("UNUSED = True\n")
    both = await story.run(tests=["testing/test_story.py"], confirm=3)
    place = "testing/test_story.py::"
    story.tell(
        "a flaky test", _only(both, "no luck"), lambda a: verdicts(a) == {f"{place}test_luck": "flaky"}
    )
    story.tell(
        "a failure of the base",
        _only(both, "old"),
        lambda a: verdicts(a) == {f"{place}test_old": "pre_existing"},
    )

    (story.root / "testing" / "test_story.py").write_text(FOLLOWS)
    for env in ({}, {"STORY": "1"}, {}):
        await story.run(tests=["testing/test_story.py"], env=env)
    follows = await story.run(tests=["testing/test_story.py"], env={"STORY": "1"})
    story.tell(
        "one that follows the environment",
        follows,
        lambda a: verdicts(a) == {f"{place}test_follows": "environment_dependent"},
    )

    (story.root / "testing" / "test_story.py").unlink()
    for path in sorted((story.root / "testing").glob("test_*.py")):
        path.write_text("from not_installed_here import anything\n" + path.read_text("utf-8"), "utf-8")
    broken = await story.run()
    story.tell(
        "a missing distribution",
        broken,
        lambda a: (
            a["status"] == "collection_failed"
            and len(a["failures"]) == 1
            and a["failures"][0]["error"] == "ModuleNotFoundError"
            and a["failures"][0].get("verdict") != "regression"
        ),
    )


def _only(answer: dict[str, Any], word: str) -> dict[str, Any]:
    """*answer* with just the failures that say *word*."""
    return answer | {"failures": [one for one in answer["failures"] if word in one.get("message", "")]}


async def main(target: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="recall-story-") as folder:
        aside = Path(folder)
        source = next(path for path in (target / "src").iterdir() if path.is_dir())
        root = Path(shutil.copytree(source, aside / source.name))
        server = StdioServerParameters(
            command=sys.executable,
            args=[
                "-m",
                "pytest_recall",
                "serve",
                "--project",
                str(root),
                "--python",
                str(target / "venv/bin/python"),
            ],
            # Its environment leads to the original's modules: these are before them.
            env={**os.environ, "PYTHONPATH": str(root / "src"), "XDG_STATE_HOME": str(aside / "state")},
        )
        async with Client(server) as client:
            story = Story(root, client)
            (root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n.pytest-recall/\n")
            story.git("init", "-q")
            story.git("add", ".")
            story.git("commit", "-qm", "pluggy as it came")
            await tell(story, aside)
        return bool(story.wrong)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(anyio.run(main, Path(sys.argv[1]).absolute() / "pluggy"))
