"""Failures of one-line mistakes in public projects: `python benchmarks/mutants.py WORK OUT [NAME …] [--mutants 40]`.

WORK is what `../shared/targets/setup.py WORK` made. Copies of the projects are changed in one line at a time (a wrong
condition, a lost return value or argument, another attribute or operator), run, and put back; OUT gets one JSON line a
failure, in the form of `mutfail.jsonl`, for `judgement.py DATA --more OUT`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = {
    "pluggy": "src/pluggy",
    "tomlkit": "tomlkit",
    "more-itertools": "more_itertools",
    "structlog": "src/structlog",
}
MOST = 40  # failing tests of one mutant
LIMIT_S = 60

PLUGIN = """
import json, os

def pytest_runtest_logreport(report):
    if not report.failed or not hasattr(report.longrepr, "reprtraceback"):
        return
    frames = []
    for entry in report.longrepr.reprtraceback.reprentries:
        at = getattr(entry, "reprfileloc", None)
        place = [at.path, at.lineno, at.message or ""] if at else ["", 0, ""]
        frames.append([*place, "\\n".join(entry.lines)[:6000]])
    crash = report.longrepr.reprcrash
    told = {"nodeid": report.nodeid, "when": report.when, "message": crash.message[:6000]}
    told |= {"crash": [crash.path, crash.lineno], "frames": frames}
    with open(os.environ["MUTANTS_OUT"], "a") as file:
        file.write(json.dumps(told) + "\\n")
"""


def mutants(text: str, dice: random.Random) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of every mutant of a module, in random order."""
    found: list[tuple[int, int, int, str, str]] = []
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if getattr(node, "lineno", 0) and node.lineno == node.end_lineno and lines[node.lineno - 1].isascii():
            found += [(node.lineno, *one) for one in _changes(node, lines[node.lineno - 1])]
    dice.shuffle(found)
    for number, start, end, new, kind in found:
        line = lines[number - 1]
        changed = line[:start] + new + line[end:]
        yield number, kind, "".join([*lines[: number - 1], changed, *lines[number:]])


def _changes(node: Any, line: str) -> Iterator[tuple[int, int, str, str]]:
    match node:
        case ast.Return(value=ast.expr() as value):
            yield value.col_offset, value.end_col_offset or 0, "None", "ret"
        case ast.Compare(ops=[_]):
            text = line[node.col_offset : node.end_col_offset]
            yield node.col_offset, node.end_col_offset or 0, f"(not ({text}))", "cmp"
        case ast.Call(args=[*_, last], keywords=[]) if not isinstance(last, ast.Starred):
            yield node.func.end_col_offset or 0, node.end_col_offset or 0, "()", "arg"
        case ast.Attribute(ctx=ast.Load()):
            yield (
                (node.end_col_offset or 0) - len(node.attr),
                node.end_col_offset or 0,
                f"{node.attr}_x",
                "attr",
            )
        case ast.BinOp(op=ast.Add()):
            yield node.left.end_col_offset or 0, node.right.col_offset, " - ", "bin"


class Project:
    """A copy of one target, and what its tests say of each change."""

    def __init__(self, work: Path, name: str, aside: Path) -> None:
        source = next(path for path in (work / name / "src").iterdir() if path.is_dir())
        self.name = name
        self._python = work / name / "venv" / "bin" / "python"
        self._aside = aside
        self._root = Path(shutil.copytree(source, aside / name / source.name))
        package = self._root / PACKAGES[name]
        self._files = [path for path in sorted(package.rglob("*.py")) if path.stat().st_size > 1_500]

    def failures(self, wanted: int, dice: random.Random) -> Iterator[dict[str, Any]]:
        """The failures of *wanted* mutants that some test, and not nearly every one, notices."""
        left = {path: mutants(path.read_text("utf-8"), dice) for path in self._files}
        sizes = [path.stat().st_size for path in self._files]
        while wanted and left:
            path = dice.choices(self._files, sizes)[0]
            line, kind, text = next(left.get(path, iter(())), (0, "", ""))
            if not line:
                left.pop(path, None)
            elif 0 < len(found := self._run(path, text)) < MOST:
                wanted -= 1
                label = f"{self.name}:{path.relative_to(self._root)}:{line}:{kind}"
                yield from (one | {"mutant": label} for one in found)

    def _run(self, path: Path, text: str) -> list[dict[str, Any]]:
        out = self._aside / "out.jsonl"
        out.unlink(missing_ok=True)
        original = path.read_text("utf-8")
        path.write_text(text, "utf-8")
        words = [
            "-B",
            "-m",
            "pytest",
            "-q",
            f"--maxfail={MOST}",
            "-p",
            "mutants_told",
            "-p",
            "no:cacheprovider",
        ]
        places = os.pathsep.join(map(str, (self._aside, self._root / "src", self._root)))
        environ = {**os.environ, "PYTHONPATH": places, "MUTANTS_OUT": str(out), "PYTHONHASHSEED": "1"}
        try:
            subprocess.run(
                [self._python, *words],
                cwd=self._root,
                env=environ,
                timeout=LIMIT_S,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return []
        finally:
            path.write_text(original, "utf-8")
        told = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []
        first = {one["nodeid"]: one for one in reversed(told)}
        return [self._relative(one) for one in reversed(first.values())]

    def _relative(self, failure: dict[str, Any]) -> dict[str, Any]:
        root = f"{self._root}/"
        frames = [[path.removeprefix(root), *rest] for path, *rest in failure["frames"]]
        return failure | {"project": self.name, "variant": "A", "root": str(self._root), "frames": frames}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("work", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("names", nargs="*", default=list(PACKAGES))
    options.add_argument("--mutants", type=int, default=40)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="recall-mutants-") as folder, asked.out.open("w") as out:
        (Path(folder) / "mutants_told.py").write_text(PLUGIN)
        for name in asked.names:
            for failure in Project(asked.work.absolute(), name, Path(folder)).failures(
                asked.mutants, random.Random(5)
            ):
                out.write(json.dumps(failure) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
