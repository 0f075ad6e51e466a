"""What real suites' reports and our own exports come to when they are imported: the same tests, outcomes, causes, history.

    python benchmarks/round_trip.py WORK [NAME …]

WORK is what `../shared/targets/setup.py WORK` made. Beside each suite's own tests a file of known failures is
laid into a copy of its sources. Plain pytest's JUnit XML and our own export, imported into a memory of their own,
are held against our own run of the same tree. Prints a Markdown table; exit status 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

TARGETS = Path(__file__).parents[2] / "shared" / "targets" / "targets.toml"
SEED = """
import pytest


@pytest.fixture
def broken():
    raise RuntimeError("no till")


@pytest.fixture
def stuck():
    yield
    raise RuntimeError("stuck")


def test_fails(): assert [1, 2] == [1, 3]
def test_setup(broken): ...
def test_teardown(stuck): ...
def test_both(stuck): assert not "both"
@pytest.mark.parametrize("text", ["a::b", "<&>"])
def test_params(text): ...
@pytest.mark.skip(reason="later")
def test_skipped(): ...
@pytest.mark.xfail(strict=False)
def test_xfails(): assert 0
"""
NAME = "test_zz_round_trip.py"


def recall(project: Path, *words: str, **environ: str) -> str:
    command = [sys.executable, "-m", "pytest_recall", words[0], "--project", str(project), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def told(project: Path, run: str) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, recall(project, "export", run).splitlines())
    return {line["test"]["id"]: line["test"] for line in lines if line["kind"] == "test"}


def outcome(test: dict[str, Any]) -> str:
    return str(test["attempts"][-1]["outcome"])


def causes(test: dict[str, Any]) -> list[str]:
    """What each failure of the test is known by later."""
    failures = [failure for one in test["attempts"] for failure in one.get("failures", ())]
    return sorted(failure["fingerprint"]["group"] for failure in failures)


def history(project: Path, tests: list[str]) -> list[object]:
    """What the memory says of these tests and of all causes of failure."""
    views = [["history", "test", test] for test in tests] + [["history", "failures", "--limit", "100"]]
    return [json.loads(recall(project, *view, "--json")) for view in views]


def environment(theirs: Path, own: Path, project: Path) -> str:
    """An interpreter with the packages of *theirs*, that imports the project from its copy (theirs is installed editable)."""
    subprocess.run([theirs / "bin" / "python", "-m", "venv", "--without-pip", own], check=True)
    [site], [packages] = (list(env.glob("lib/python3*/site-packages")) for env in (own, theirs))
    (site / "all.pth").write_text(f"{project / 'src'}\n{project}\n{packages}\n")
    return str(own / "bin" / "python")


def measure(target: dict[str, Any], work: Path, aside: Path) -> tuple[bool, str]:
    folder = work / target["name"]
    source = next(path for path in (folder / "src").iterdir() if path.is_dir())
    project = aside / "here" / source.name
    shutil.copytree(source, project, ignore=shutil.ignore_patterns(".pytest-recall", "__pycache__"))
    there = aside / "there" / source.name
    shutil.copytree(project, there)
    python = environment(folder / "venv", aside / "venv", project)
    truth = json.loads((folder / "truth" / "truth.json").read_text("utf-8"))
    paths = [row["id"].partition("::")[0] for row in truth["reports"]]
    place = Counter(path.rpartition("/")[0] for path in paths if "test" in path).most_common(1)[0][0]
    for tree in (project, there):
        (tree / place / NAME).write_text(SEED)
    args = (
        [*target.get("args", []), "-p", "no:randomly"]
        if "random" in target["kind"]
        else target.get("args", [])
    )

    xml = aside / "plain.xml"
    words = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={xml}", *args]
    subprocess.run(words, cwd=project, capture_output=True, check=False)
    ours = json.loads(recall(project, "run", "--json", "--python", python, *args))["run_id"]
    [junit] = json.loads(recall(project, "import", "--json", "--revision", "a" * 40, "--job", "x", str(xml)))[
        "imported"
    ]

    own, theirs = told(project, ours), told(project, junit["run_id"])
    differing = [name for name in own if name in theirs and outcome(own[name]) != outcome(theirs[name])]
    # What JUnit cannot say: an xpass, and that a test failed in its subtests only.
    unsaid = [name for name in differing if outcome(own[name]) == "xpassed"]
    missing, extra = own.keys() - theirs.keys(), theirs.keys() - own.keys()
    red = [name for name in own if causes(own[name])]
    other_cause = [name for name in red if name in theirs and causes(own[name]) != causes(theirs[name])]

    lines = aside / "runs.jsonl"
    recall(project, "export", "-o", str(lines), ours, junit["run_id"])
    recall(there, "import", str(lines))
    again = recall(there, "export", ours, junit["run_id"]) == lines.read_text("utf-8")
    same = history(project, red[:5]) == history(there, red[:5])
    good = not (missing or extra or set(differing) - set(unsaid) or other_cause) and again and same
    row = (
        f"| {target['name']} | {len(own)} | {len(missing)} / {len(extra)} | {len(differing)} ({len(unsaid)} xpassed) |"
        f" {len(red)} / {len(other_cause)} | {', '.join(junit.get('lost', []))} | {'equal' if again else 'DIFFERS'} |"
        f" {'equal' if same else 'DIFFERS'} |"
    )
    for label, names in (
        ("missing", missing),
        ("extra", extra),
        ("outcome", differing),
        ("cause", other_cause),
    ):
        for name in sorted(names)[:5]:
            print(f"{target['name']}: {label}: {name}", file=sys.stderr)
    return good, row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    print(
        "| target | tests | missing / extra | other outcome | failing / other cause | told as lost | exported again | history |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    good = True
    for target in tomllib.loads(TARGETS.read_text("utf-8"))["target"]:
        if (options.work / target["name"]).is_dir() and target["name"] in (options.names or [target["name"]]):
            with tempfile.TemporaryDirectory(prefix="round-trip-") as aside:
                fine, row = measure(target, options.work, Path(aside))
            print(row, flush=True)
            good &= fine
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
