"""Plain pytest with the plugin, on real projects: does the history say what pytest said, and what does it cost?

`python benchmarks/capture.py TARGETS WHEEL [--extra SITE] [NAME…]`: TARGETS holds `<name>/{src/<dir>,venv,truth/truth.json}`, where
the truth is what plain pytest told of each test; WHEEL is the built plugin; SITE has pytest-xdist and pytest-rerunfailures
for the targets' Python. Each project is copied, run in four ways (plain, `-n 2`, `--reruns 2`, nox), and taken in by the real
command; the table says how many tests have another outcome than in the truth. Then the cost: CPU of `--recall` against
the same run without, the least of `--rounds` (interleaved).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOXFILE = """
import nox
@nox.session(python=False)
def tests(session):
    session.run({python!r}, "-m", "pytest", "-q", "-p", "no:cacheprovider", external=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", type=Path)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--extra", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        zipfile.ZipFile(options.wheel).extractall(site)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed wheel is compiled
        names = options.names or sorted(path.name for path in options.targets.iterdir())
        for name in names:
            target = Target(options.targets / name, Path(folder) / name, site, options.extra)
            for way, differing, number in target.checked():
                print(f"{name:16} {way:12} {number:6} tests, {differing} told otherwise", flush=True)
            print(f"{name:16} cost         {target.cost(options.rounds)}", flush=True)


class Target:
    def __init__(self, folder: Path, work: Path, site: Path, extra: Path | None) -> None:
        self.truth = json.loads((folder / "truth" / "truth.json").read_text("utf-8"))
        self.python = str(folder / "venv" / "bin" / "python")
        (source,) = (folder / "src").iterdir()
        shutil.copytree(source, work, symlinks=True)
        self.work, self.site, self.extra = work, site, extra

    def run(self, *args: str, recall: bool = True, nox: bool = False) -> float:
        paths = [str(self.work / "src"), str(self.site), *([str(self.extra)] if self.extra else [])]
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        env |= {"PYTHONPATH": os.pathsep.join(paths if recall else [paths[0], *paths[2:]])}
        env |= {"PYTEST_RECALL": "1"} if recall else {}
        command = [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
        if nox:
            noxfile = self.work / "noxfile_recall.py"
            noxfile.write_text(NOXFILE.format(python=self.python))
            command = [sys.executable, "-m", "nox", "-f", str(noxfile)]
            env["PYTHONPATH"] = ""
            env |= {"PYTHONPATH": os.pathsep.join(paths[:2])}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=self.work, env=env, check=False, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def checked(self) -> Iterator[tuple[str, int, int]]:
        ways = [("plain", {}, ())]
        if self.extra:
            ways += [("-n 2", {}, ("-n", "2")), ("--reruns 2", {}, ("--reruns", "2"))]
        ways.append(("nox", {"nox": True}, ()))
        expected = outcomes(self.truth["reports"])
        for way, how, args in ways:
            self.run(*args, **how)
            told = self.taken_in()
            yield way, len(set(expected.items()) ^ set(told.items())), len(told)

    def taken_in(self) -> dict[str, str]:
        recall = [sys.executable, "-m", "pytest_recall"]
        project = ["--project", str(self.work), "--json"]
        subprocess.run([*recall, "ingest", *project], check=False, capture_output=True)
        exported = self.work.parent / "run.json"
        subprocess.run(
            [*recall, "export", "--format", "ctrf", "-o", str(exported), *project],
            check=False,
            capture_output=True,
        )
        run = json.loads(exported.read_text("utf-8"))
        shutil.rmtree(self.work / ".pytest-recall")
        return {test["name"]: test["status"] for test in run["results"]["tests"]}

    def cost(self, rounds: int) -> str:
        plain, captured = [], []
        for _ in range(rounds):
            plain.append(self.run(recall=False))
            captured.append(self.run())
        least, most = min(plain), min(captured)
        return f"CPU {least:.2f} s plain, {most:.2f} s with --recall: {100 * (most / least - 1):+.1f} %"


def outcomes(reports: list[dict[str, Any]]) -> dict[str, str]:
    """The status of each test in CTRF's words, from what plain pytest told."""
    found = {}
    for report in reports:
        words = {"passed": "passed", "skipped": "skipped", "failed": "failed"}
        status = words.get(report["outcome"], "other")
        if report["when"] == "call" or status != "passed":
            found[report["id"]] = status
    return found


if __name__ == "__main__":
    main()
