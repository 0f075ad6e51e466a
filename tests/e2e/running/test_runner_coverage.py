"""Coverage by the target's own tool: what plain pytest would say, nothing in the project, and the change first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pytest_recall.model import RunRequest, Status
from pytest_recall.running import target

pytest.importorskip("pytest_cov")

SHOP = """\
def total(items):
    if not items:
        return 0
    return sum(items)


def unused():
    return 1
"""
TESTS = """\
import os, pytest
from shop import total

@pytest.mark.parametrize("n", range(4))
def test_total(n):
    assert total([n]) == n
"""
ASKED = RunRequest(timeout_s=60.0, coverage=True)
COV, XDIST = "-p pytest_cov.plugin", "-p xdist.plugin"  # without the rest of this environment's plugins


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for path, text in {"shop/__init__.py": SHOP, "test_shop.py": TESTS, "pytest.ini": "[pytest]\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if "__pycache__" not in path.parts}


async def changed() -> dict[str, list[int]]:
    return {"shop/__init__.py": [3, 4, 5], "shop/new.py": [1], "test_new.py": [1], "README.md": [1]}


def plain(project: Path, tmp_path: Path, *words: str) -> dict:
    """What pytest-cov itself reports, without us."""
    report = tmp_path / "plain.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--cov-report=json:{report}",
        *words,
    ]
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    environ |= {"COVERAGE_FILE": str(tmp_path / "plain"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, check=False, timeout=120)
    assert report.exists(), done.stdout
    return json.loads(report.read_text())


def test_it_says_what_pytest_cov_says_and_leaves_nothing_in_the_project(project, tmp_path, run_project):
    (project / "pytest.ini").write_text(
        f"[pytest]\naddopts = {COV} --cov --cov-report=html --cov-report=xml -W error\n"
    )
    (project / ".coveragerc").write_text("[run]\nbranch = true\nomit = test_*\n")
    expected = plain(project, tmp_path)
    before = files(project)
    run, _ = run_project(project, ASKED, changed=changed, html=tmp_path / "page")
    assert run.status is Status.PASSED, run.output_tail
    assert files(project) == before
    found = run.coverage
    assert found is not None
    assert found.percent == pytest.approx(expected["totals"]["percent_covered"], abs=0.01)
    assert (found.statements, found.branches) == (6, 2)
    assert [(one.path, one.missing) for one in found.files] == [("shop/__init__.py", "3, 8")]
    assert found.by.startswith("pytest-cov ")
    assert Path(found.html) == tmp_path / "page" / "index.html"  # the project's addopts ask for it
    assert found.change is not None
    assert (found.change.lines, found.change.covered) == (2, 1)  # an empty line cannot be run
    assert found.change.uncovered == (("shop/__init__.py", "3"),)
    assert found.change.unmeasured == ("shop/new.py",)


@pytest.mark.parametrize("tool", ["pytest-cov", "coverage"])
def test_workers_and_one_process_measure_the_same(project, run_project, tool):
    own = COV if tool == "pytest-cov" else ""
    (project / "pytest.ini").write_text(f"[pytest]\naddopts = {own} {XDIST} -W error\n")
    before = files(project)
    one, _ = run_project(project, ASKED)
    two, _ = run_project(project, RunRequest(timeout_s=60.0, coverage=True, parallel=2))
    assert two.environment.workers == 2, two.notes
    assert (one.status, two.status) == (Status.PASSED, Status.PASSED)
    assert one.coverage is not None
    assert one.coverage == two.coverage
    # With the test's own file, as `--cov` has it where nothing else is configured, and with none of ours.
    assert (one.coverage.measured, one.coverage.statements, one.coverage.missed) == (2, 11, 2)
    assert one.coverage.by.startswith(f"{tool} ")
    assert one.coverage.html == ""
    assert files(project) == before


def test_a_threshold_decides_only_where_the_project_measures_by_itself(project, run_project):
    (project / ".coveragerc").write_text("[report]\nfail_under = 99\n")
    (project / "pytest.ini").write_text(f"[pytest]\naddopts = {COV}\n")
    run, _ = run_project(project, ASKED)
    assert run.status is Status.PASSED
    assert run.coverage is not None
    assert run.coverage.percent < 99
    (project / "pytest.ini").write_text(f"[pytest]\naddopts = {COV} --cov=shop\n")
    run, _ = run_project(project, ASKED)
    assert run.status is Status.FAILED
    assert any("coverage threshold" in doubt for doubt in run.doubts)
    # What is ours is measured by a bare --cov, and is not the project's to answer for.
    (project / ".coveragerc").write_text("[report]\nfail_under = 77\n")
    (project / "pytest.ini").write_text(f"[pytest]\naddopts = {COV} --cov\n")
    run, _ = run_project(project, ASKED)
    assert run.status is Status.PASSED, run.coverage


def test_a_run_that_crashed_and_went_on_tells_what_the_rest_went_through(project, run_project):
    (project / "test_a.py").write_text("import os, shop\ndef test_crash(): shop.unused(); os._exit(3)\n")
    run, _ = run_project(project, ASKED)
    assert run.status is Status.CRASHED
    assert run.coverage is not None
    assert ("shop/__init__.py", "3, 8") in [(one.path, one.missing) for one in run.coverage.files]


def test_without_its_data_it_says_why(project, run_project):
    (project / "test_shop.py").write_text("import os\ndef test_crash(): os._exit(3)\n")
    run, _ = run_project(project, ASKED)
    assert run.coverage is None
    assert any("nothing was measured" in note for note in run.notes)


def test_where_nothing_can_measure_it_says_what_to_install(project, tmp_path, run_project):
    """A target that has pytest, by a link to ours, and neither of the tools."""
    there = tmp_path / "bare"
    venv.create(there, symlinks=True)
    [packages] = there.glob("lib/python3*/site-packages")
    ours = Path(pytest.__file__).parents[1]
    for name in ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py"):
        for source in (*ours.glob(name), *ours.glob(f"{name}.py"), *ours.glob(f"{name}-*.dist-info")):
            (packages / source.name).symlink_to(source)

    found = target.resolve(project, explicit=str(there), environ=os.environ)
    run, _ = run_project(project, ASKED, target=found)
    assert run.status is Status.PASSED, run.output_tail
    assert run.coverage is None
    [note] = [note for note in run.notes if note.startswith("coverage: ")]
    assert f"{found.python} -m pip install pytest-cov" in note


def test_a_report_that_does_not_end_is_ended(project, run_project, left_behind):
    (project / ".coveragerc").write_text("[run]\nplugins = slow\n")
    (project / "slow.py").write_text(
        "import sys, time\n"
        "def coverage_init(registry, options):\n"
        "    if 'covered' in sys.argv[0]: time.sleep(60)\n"
    )
    run, _ = run_project(project, RunRequest(timeout_s=3.0, coverage=True))
    assert run.status is Status.PASSED
    assert run.coverage is None
    assert any("took longer than the 3 s" in note for note in run.notes), run.notes
    assert left_behind() == []
