"""Every hazard through the real runner, as the tests have them → the table of docs/explanation/hazards.md.

python benchmarks/hazards.py [--only EXPRESSION] [--check]

The tests that hold each hazard to its answer note what came of it; this runs them, one after another, and
writes the table between the page's marks. With --check nothing is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from defusedxml import ElementTree

HERE = Path(__file__).parents[1]
PAGE = HERE / "docs" / "explanation" / "hazards.md"
TESTS = ("tests/e2e/running/test_runner_hazards.py", "tests/e2e/running/test_runner_projects.py")
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
MOST_OVER = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    hazard: str
    status: str
    culprits: list[str]
    stacks: int
    kept: int
    of: int
    limit: float
    seconds: float
    left: int

    @property
    def over(self) -> float:
        return max(self.seconds - self.limit, 0.0)

    def __str__(self) -> str:
        culprits = ", ".join(f"`{one}`" for one in self.culprits) or "–"
        if self.culprits and self.stacks:
            culprits += " and its stack"
        over = f"{self.over:.1f}" if self.over else "0"
        kept = f"{self.kept} of {self.of}" if self.of else "–"
        return f"| {self.hazard} | `{self.status}` | {culprits} | {kept} | {over} | {self.left} | {self.seconds:.1f} |"


def rows(only: str) -> tuple[list[Row], int]:
    """What each hazard's test noted, and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            *TESTS,
            "-q",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
        ]
        done = subprocess.run([*command, *(["-k", only] if only else [])], cwd=HERE, check=False)
        return list(_read(report)), done.returncode


def _read(report: Path) -> Iterator[Row]:
    for case in ElementTree.parse(report).iter("testcase"):
        for noted in case.iter("property"):
            if noted.get("name") == "hazard":
                hazard = case.get("name", "").partition("[")[2].rstrip("]").replace("_", " ")
                yield Row(hazard=hazard, **json.loads(noted.get("value", "")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="pytest's -k")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    found, code = rows(options.only)
    late = [row.hazard for row in found if row.over > MOST_OVER or row.left]
    table = "\n".join(
        [
            "| hazard | status | culprit named | results kept | s over the limit | processes left | s in all |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *map(str, found),
        ]
    )
    if options.check or code:
        print(table)
    else:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{table}\n{END}{rest.partition(END)[2]}", "utf-8")
    worst = max((row.over for row in found), default=0.0)
    print(f"{len(found)} hazards; at most {worst:.2f} s over the limit; late or not clean: {late or 'none'}")
    return code or bool(late)


if __name__ == "__main__":
    sys.exit(main())
