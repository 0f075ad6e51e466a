"""Twenty things an agent wants to know of a test suite: what each takes by tools, and in a shell with pytest.

    python benchmarks/evaluation.py            print the table
    python benchmarks/evaluation.py --write    and put it into docs/explanation/evaluation.md

Each task is a transcript: the calls, their arguments, and what must be in the answers. The tools' side is held with the real
server over stdio, the shell's side is really run, in a copy of the same project; counted is what the model writes and reads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "evaluation.md"
MARK = "<!-- made by benchmarks/evaluation.py -->"
LIMIT_S = 60
AUTHOR = {
    f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}  # nobody's


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `shows` must stand in the answer's text, `tells` are fields of it; `$run_id` and `$fingerprint` are the last ones."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shows: Sequence[str] = ()
    tells: Mapping[str, Any] = field(default_factory=dict)
    error: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the project between two calls, the same on both sides; not counted."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Task:
    """One question. `shell` is what answers it without us; empty where nothing does."""

    question: str
    project: str
    steps: Sequence[Call | Edit]
    shell: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one task took: calls and characters, on both sides."""

    task: Task
    calls: int
    characters: int
    commands: int
    shell_characters: int
    wrong: tuple[str, ...] = ()  # what was not in the answers


FLIP = """
from pathlib import Path

def test_flips():
    mark = Path("flipped")
    if mark.exists():
        mark.unlink()
        raise ConnectionError("connection reset by peer")
    mark.touch()

def test_calm(): ...
"""
HANG = "import time\n\ndef test_quick(): ...\ndef test_hangs(): time.sleep(600)\ndef test_after(): ...\n"
CRASH = "import os\n\ndef test_quick(): ...\ndef test_dies(): os.abort()\ndef test_after(): ...\n"
MANY = """
import pytest

class Session:
    def __enter__(self): raise OSError("no route to host 'db.internal'")
    def __exit__(self, *error): ...

@pytest.mark.parametrize("number", range(400))
def test_query(number):
    with Session() as session:
        assert session.get(number)
"""
PROJECTS: Mapping[str, Mapping[str, str]] = {
    "flip": {"tests/test_net.py": FLIP},
    "hang": {"tests/test_wait.py": HANG},
    "crash": {"tests/test_native.py": CRASH},
    "many": {"tests/test_db.py": MANY},
    "broken": {"tests/test_ok.py": "def test_ok(): ...\n", "tests/test_import.py": "import shop_of_horrors\n\ndef test_a(): ...\n"},
    "old": {"lib.py": "LIMIT = 10\nRATE = 2\n", "test_lib.py": "import lib\ndef test_limit(): assert lib.LIMIT == 10\ndef test_rate(): assert lib.RATE == 3\n"},
}  # fmt: skip

MUG = "tests/test_stock.py::test_the_last_piece_can_be_reserved"
CALM = "not two_orders"  # the sample's flaky test would make the figures jump
BUG = Edit("shop/stock.py", "if quantity > self", "if quantity >= self")
FIX = Edit("shop/stock.py", "if quantity >= self", "if quantity > self")

TASKS = (
    Task(
        "Which tests are there?",
        "shop",
        [Call("discover_tests", {}, ['"tests/test_currency.py"'], {"total": 43})],
        ["pytest --collect-only -q"],
    ),
    Task(
        "Which tests are in this file, and where?",
        "shop",
        [Call("discover_tests", {"paths": ["tests/test_stock.py"], "group": "test"}, [MUG, '"line":11'])],
        ["pytest --collect-only -q tests/test_stock.py", "grep -n 'def test' tests/test_stock.py"],
    ),
    Task(
        "What fails, and why?",
        "shop",
        [
            Call(
                "run_tests",
                {"keyword": CALM, "intent": "first look"},
                ["MUG-01: 1 wanted, 1 in stock", "shop/stock.py:19", "SHOP_RATES"],
                {"status": "failed", "exit_code": 1},
            )
        ],
        ["pytest -q -k 'not two_orders'"],
    ),
    Task(
        "Why does this one test fail?",
        "shop",
        [Call("run_tests", {"tests": [MUG]}, ["raise OutOfStock", "shop/stock.py:19"], {"status": "failed"})],
        [f"pytest -q {MUG}"],
    ),
    Task(
        "I mistyped its name.",
        "shop",
        [Call("run_tests", {"tests": ["tests/test_stock.py::test_last_piece"]}, [MUG], error=True)],
        ["pytest -q tests/test_stock.py::test_last_piece", "pytest --collect-only -q tests/test_stock.py"],
    ),
    Task(
        "Mended: does what failed pass now?",
        "shop",
        [
            FIX,
            Call(
                "run_tests",
                {"only": "failed", "env": {"SHOP_RATES": "USD=1.08,GBP=0.86"}, "intent": "the last piece may be sold"},
                [],
                {"status": "passed", "counts": {"collected": 6, "passed": 6}},
            ),
        ],
        ["SHOP_RATES=USD=1.08,GBP=0.86 pytest -q --lf"],
    ),
    Task(
        "And everything?",
        "shop",
        [
            Call(
                "run_tests",
                {"keyword": CALM, "env": {"SHOP_RATES": "USD=1.08,GBP=0.86"}},
                [],
                {"status": "passed"},
            )
        ],
        ["SHOP_RATES=USD=1.08,GBP=0.86 pytest -q -k 'not two_orders'"],
    ),
    Task(
        "It fails again: what mended it last time?",
        "shop",
        [BUG, Call("run_tests", {"tests": [MUG]}, ["the last piece may be sold", "shop/stock.py"], {"status": "failed"})],
    ),
    Task(
        "What has this test done so far?",
        "shop",
        [Call("test_history", {"view": "test", "test": MUG}, [], {"outcomes": "FF..F", "failed": 3})],
    ),
    Task(
        "Have we seen an error like this?",
        "shop",
        [Call("test_history", {"view": "similar", "text": "OutOfStock: POT-02: 4 wanted, 4 in stock", "limit": 1}, ["shop.stock.OutOfStock", MUG.partition("::")[0]])],
    ),
    Task(
        "How does the project stand?",
        "shop",
        [Call("test_history", {}, ["MUG-01", "recent_runs"], {"view": "summary"})],
        ["pytest -q -k 'not two_orders'", "git log --oneline -5"],
    ),
    Task(
        "Which tests are slowest?",
        "shop",
        [Call("test_history", {"view": "slow", "limit": 5}, ["median_s", "tests/test_"], {"view": "slow"})],
        ["pytest -q --durations=5 -k 'not two_orders' --tb=no"],
    ),
    Task(
        "Keep what I found out, and show it when it matters.",
        "shop",
        [
            Call("record_note", {"about": MUG, "kind": "diagnosis", "text": "an off-by-one in Stock.reserve"}, [MUG]),
            Call("run_tests", {"tests": [MUG]}, ["an off-by-one in Stock.reserve"], {"status": "failed"}),
        ],
    ),
    Task(
        "Is it flaky?",
        "flip",
        [Call("run_tests", {"repeat": 4, "keyword": "flips"}, ["ConnectionError"], {"status": "failed"}), Call("test_history", {"view": "flaky"}, ["tests/test_net.py::test_flips"])],
        ["for n in 1 2 3 4; do pytest -q -k flips; done"],
    ),
    Task(
        "One test hangs. What of the rest?",
        "hang",
        [Call("run_tests", {"test_timeout_s": 1}, ["line 4 in test_hangs"], {"status": "timed_out", "counts": {"collected": 3, "passed": 2, "timed_out": 1}})],
        ["timeout -s INT 5 pytest -q", "pytest -q -k 'not hangs'"],
    ),
    Task(
        "The interpreter dies. What of the rest?",
        "crash",
        [Call("run_tests", {}, ["in test_dies"], {"status": "crashed", "counts": {"collected": 3, "passed": 2, "crashed": 1}})],
        ["pytest -q", "pytest -q -k 'not dies'"],
    ),
    Task(
        "400 tests fail at once.",
        "many",
        [Call("run_tests", {}, ["no route to host 'db.internal'", '"tests_omitted":'], {"status": "failed"})],
        ["pytest -q"],
    ),
    Task(
        "A module can't be imported.",
        "broken",
        [Call("run_tests", {}, ["shop_of_horrors", "tests/test_import.py"], {"status": "collection_failed"})],
        ["pytest -q"],
    ),
    Task(
        "Was it my change?",
        "old",
        [
            Edit("lib.py", "LIMIT = 10", "LIMIT = 9"),
            Call("run_tests", {"confirm": 1}, ['"verdict":"regression"', '"verdict":"pre_existing"'], {"status": "failed"}),
        ],
        ["pytest -q", "git stash -q", "pytest -q", "git stash pop -q", "pytest -q"],
    ),
    Task(
        "What is different since the last run?",
        "old",
        [
            Edit("lib.py", "RATE = 2", "RATE = 3"),
            Call("run_tests", {}, [], {"status": "failed", "newly_passing": ["test_lib.py::test_rate"]}),
            Call("test_history", {"view": "compare"}, [], {"still_failing": ["test_lib.py::test_limit"]}),
        ],
        ["git stash -q", "pytest -q", "git stash pop -q", "pytest -q"],
    ),
)  # fmt: skip


def make(side: Path) -> None:
    """Every project anew under *side*, each a git repository."""
    shutil.copytree(
        ROOT / "examples" / "shop", side / "shop", ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    for name, files in PROJECTS.items():
        for path, text in {"pytest.ini": "[pytest]\n", **files}.items():
            (side / name / path).parent.mkdir(parents=True, exist_ok=True)
            (side / name / path).write_text(text, "utf-8")
    for project in side.iterdir():
        (project / ".gitignore").write_text("__pycache__\nflipped\n.pytest_cache\n", "utf-8")
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
            subprocess.run(["git", *words], cwd=project, env={**os.environ, **AUTHOR}, check=True)


async def evaluate(folder: Path) -> AsyncIterator[Cost]:
    """Each task's cost as soon as it is done, in projects under *folder*."""
    ours, shell = folder / "agent", folder / "shell"
    for side in (ours, shell):
        make(side)
    words = [
        "-m",
        "pytest_recall",
        "serve",
        "--project",
        str(ours / "shop"),
        "--allow-root",
        str(ours),
        "--python",
        sys.executable,
    ]
    async with Client(
        StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    ) as client:
        known: dict[str, str] = {}
        for task in TASKS:
            calls = characters = 0
            wrong: list[str] = []
            for step in task.steps:
                if isinstance(step, Edit):
                    for side in (ours, shell):
                        edit(side / task.project, step)
                    continue
                arguments = {key: known.get(str(value), value) for key, value in step.arguments.items()}
                if task.project != "shop":
                    arguments["project"] = str(ours / task.project)
                result = await client.call_tool(step.tool, arguments)
                text = "".join(getattr(block, "text", "") for block in result.content)
                calls += 1
                characters += len(step.tool) + len(json.dumps(dict(step.arguments))) + len(text)
                wrong += missing(step, result, text)
            output = list(run_in_shell(task.shell, shell / task.project))
            yield Cost(
                task, calls, characters, len(task.shell), sum(map(len, [*task.shell, *output])), tuple(wrong)
            )


def edit(project: Path, step: Edit) -> None:
    path = project / step.file
    text = path.read_text("utf-8")
    if step.old not in text:
        raise LookupError(f"{path} does not hold {step.old!r}")
    path.write_text(text.replace(step.old, step.new), "utf-8")


def missing(call: Call, result: Any, text: str) -> Iterator[str]:
    """What should be in the answer and is not."""
    if result.is_error is not call.error:
        yield f"{call.tool} gave {text[:2000]}"
        return
    for wanted in call.shows:
        if wanted not in text:
            yield f"{call.tool} does not show {wanted!r}: {text[:2000]}"
    told = result.structured_content or {}
    for name, value in call.tells.items():
        if told.get(name) != value:
            yield f"{call.tool} tells {name}={told.get(name)!r}, not {value!r}: {text[:2000]}"


def run_in_shell(commands: Sequence[str], project: Path) -> Iterator[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Whoever measures may itself be a test in a worker of xdist: plugins have something to say of that.
    shell = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=project,
            env={**shell, **AUTHOR, "PATH": path, "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=LIMIT_S,
        )
        yield done.stdout


def table(costs: Sequence[Cost]) -> str:
    """The figures as a Markdown table, rounded to what a second run gives again."""
    lines = [
        "| question | calls | characters | commands | characters in a shell |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {cost.task.question} | {cost.calls} | {rounded(cost.characters)} | "
        + (
            f"{cost.commands} | {rounded(cost.shell_characters)} |"
            if cost.commands
            else "– | cannot be told |"
        )
        for cost in costs
    ]
    told = [cost for cost in costs if cost.commands]
    small = [cost for cost in told if cost.task.project != "many"]
    lines += [total("those that a shell can answer", told), total("… without the 400 failures", small)]
    return "\n".join(lines) + "\n"


def total(name: str, costs: Sequence[Cost]) -> str:
    return (
        f"| **{name}** | {sum(cost.calls for cost in costs)} | {rounded(sum(cost.characters for cost in costs))} | "
        f"{sum(cost.commands for cost in costs)} | {rounded(sum(cost.shell_characters for cost in costs))} |"
    )


def rounded(characters: int) -> str:
    """To two digits: ids, durations and paths differ from run to run."""
    digits = max(len(str(characters)) - 2, 1)
    return f"{round(characters, -digits):,}"


def written(page: str) -> str:
    """The table that stands in *page*."""
    return page.partition(MARK)[2].partition(MARK)[0].strip() + "\n"


async def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs = [cost async for cost in evaluate(Path(folder))]
    for cost in costs:
        for text in cost.wrong:
            print(f"{cost.task.question}: {text}", file=sys.stderr)
    print(table(costs))
    if options.write:
        page = PAGE.read_text("utf-8")
        made = f"{MARK}\n{table(costs)}{MARK}"
        PAGE.write_text(re.sub(f"{MARK}.*{MARK}", lambda _: made, page, flags=re.DOTALL), "utf-8")
    return 1 if any(cost.wrong for cost in costs) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
