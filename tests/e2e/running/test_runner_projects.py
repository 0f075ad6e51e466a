"""Projects whose configuration hides, twists or breaks something: the verdict stays true."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from pytest_recall.errors import BadRequest, NoPytest, UnknownTest
from pytest_recall.model import Finished, NotStarted, Revision, Run, RunRequest, Status, Target
from pytest_recall.running import runner, target

TWO = "def test_good(): pass\ndef test_bad(): assert 1 == 2\n"
GOOD = "def test_good(): pass\ndef test_better(): pass\n"
GONE = "(no file)"


OWN_LOOP = """
from _pytest.runner import call_and_report, runtestprotocol

def half(item, **_):
    call_and_report(item, "setup")
    call_and_report(item, "call")

def pytest_runtestloop(session):
    for item, following in zip(session.items, [*session.items[1:], None]):
        runtestprotocol(item, nextitem=following)
    return True
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """Files, how they are run, and what the Run must hold."""

    name: str
    files: dict[str, str]
    status: str
    counts: dict[str, int] = field(default_factory=dict)
    doubt: str | None = None  # a part of one; None: there is none
    note: str = ""
    output: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    plugins: str = ""  # which of this environment's are loaded
    since: tuple[int, int] = (6, 2)  # of pytest
    first: str = ""  # the first test's id


def ini(*lines: str) -> str:
    return "[pytest]\n" + "".join(line + "\n" for line in lines)


TABLE = [
    Project(
        name="quiet addopts",
        files={"pytest.ini": ini("addopts = --tb=no -q -q --no-summary --color=yes"), "test_a.py": TWO},
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Project(
        name="stops at the first failure",
        files={"pytest.ini": ini("addopts = -x"), "test_a.py": "def test_bad(): assert 0\n" + GOOD},
        status="failed",
        counts={"failed": 1, "not_run": 2},
    ),
    Project(
        name="no terminal",
        files={"pytest.ini": ini("addopts = -p no:terminal"), "test_a.py": TWO},
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Project(
        name="no cache, strict",
        files={
            "pytest.ini": ini(
                "addopts = -p no:cacheprovider --strict-config --strict-markers -W error",
                "xfail_strict = true",
            ),
            "test_a.py": TWO,
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Project(
        name="strict mode",
        files={
            "pytest.toml": "[pytest]\nstrict = true\naddopts = ['-p', 'no:cacheprovider']\n",
            "test_a.py": GOOD,
            "pytest.ini": "",
        },
        status="passed",
        counts={"passed": 2},
    ),
    Project(
        name="config in pyproject",
        files={"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-v'\n", "test_a.py": GOOD},
        status="passed",
        counts={"passed": 2},
    ),
    Project(
        name="config in tox ini",
        files={"pytest.ini": GONE, "tox.ini": ini("python_files = check_*.py"), "check_a.py": TWO},
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Project(
        name="config in setup cfg",
        files={
            "pytest.ini": GONE,
            "setup.cfg": "[tool:pytest]\npython_files = check_*.py\n",
            "check_a.py": TWO,
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Project(
        name="rootdir below",
        files={"pytest.ini": GONE, "sub/pytest.ini": ini("python_files = check_*.py"), "sub/check_a.py": TWO},
        request={"tests": ("sub",)},
        status="failed",
        counts={"passed": 1, "failed": 1},
        first="check_a.py::test_good",
    ),
    Project(
        name="id of a rootdir below",
        files={"pytest.ini": GONE, "sub/pytest.ini": ini(), "sub/test_a.py": TWO},
        request={"tests": ("test_a.py::test_good",)},
        status="passed",
        counts={"passed": 1},
    ),
    Project(
        name="monorepo with two roots",
        files={
            "pytest.ini": GONE,
            "one/pyproject.toml": "[tool.pytest.ini_options]\npythonpath = 'src'\n",
            "one/src/first/__init__.py": "",
            "one/tests/test_one.py": "import first\n" + GOOD,
            "two/setup.cfg": "[tool:pytest]\n",
            "two/tests/test_two.py": TWO,
        },
        request={"tests": ("two/tests",)},
        status="failed",
        counts={"passed": 1, "failed": 1},
        first="tests/test_two.py::test_good",
    ),
    Project(
        name="nested conftests",
        files={
            "conftest.py": "import pytest\n@pytest.fixture\ndef place(): return 'top'\n",
            "a/conftest.py": "import pytest\n@pytest.fixture\ndef place(place): return place + ' a'\n",
            "a/b/conftest.py": "import pytest\n@pytest.fixture\ndef place(place): return place + ' b'\n",
            "test_t.py": "def test_t(place): assert place == 'top'\n",
            "a/test_a.py": "def test_a(place): assert place == 'top a'\n",
            "a/b/test_b.py": "def test_b(place): assert place == 'top a b'\n",
        },
        status="passed",
        counts={"passed": 3},
    ),
    Project(
        name="src layout",
        files={
            "pytest.ini": ini("pythonpath = src"),
            "src/shop/__init__.py": "price = 3\n",
            "tests/test_a.py": "from shop import price\ndef test_price(): assert price == 3\n",
        },
        since=(7, 0),
        status="passed",
        counts={"passed": 1},
    ),
    Project(
        name="namespace packages",
        files={
            "shop/basket/add.py": "def add(): return 1\n",
            "tests/unit/test_same.py": "from shop.basket.add import add\ndef test_add(): assert add()\n",
            "tests/more/test_same.py": "from shop.basket.add import add\ndef test_add(): assert add()\n",
        },
        request={"args": ("--import-mode=importlib",)},
        status="passed",
        counts={"passed": 2},
    ),
    Project(
        name="two files of one name",
        files={"unit/test_same.py": GOOD, "more/test_same.py": GOOD},
        status="collection_failed",
    ),
    Project(
        name="broken conftest",
        files={"conftest.py": "import no_such_module\n", "test_a.py": GOOD},
        status="collection_failed",
    ),
    Project(
        name="broken conftest below",
        files={"sub/conftest.py": "import no_such_module\n", "sub/test_b.py": GOOD, "test_a.py": GOOD},
        status="collection_failed",
    ),
    Project(
        name="one module broken, the others go on",
        files={
            "pytest.ini": ini("addopts = --continue-on-collection-errors"),
            "test_a.py": GOOD,
            "test_b.py": "import no_such_module\n",
        },
        status="collection_failed",
        counts={"passed": 2, "error": 1},
    ),
    Project(
        name="a hook that raises",
        files={
            "conftest.py": "def pytest_runtest_logreport(report): raise RuntimeError('boom')\n",
            "test_a.py": GOOD,
        },
        status="internal_error",
    ),
    Project(
        name="exit status made green",
        files={
            "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 0\n",
            "test_a.py": TWO,
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
        doubt="exited with 0 although tests failed",
    ),
    Project(
        name="exit status made red",
        files={
            "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 1\n",
            "test_a.py": GOOD,
        },
        status="failed",
        counts={"passed": 2},
        doubt="exited with 1 although no test failed",
    ),
    Project(
        name="exit status of nobody's",
        files={
            "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 77\n",
            "test_a.py": GOOD,
        },
        status="failed",
        doubt="none of its own codes",
    ),
    Project(
        name="failure reported as a pass",
        files={
            "conftest.py": """
                import pytest

                @pytest.hookimpl(trylast=True)
                def pytest_runtest_logreport(report):
                    report.outcome = "passed"
            """,
            "test_a.py": TWO,
        },
        status="failed",
        doubt="",
    ),
    Project(
        name="selected tests dropped behind pytest's back",
        files={
            "conftest.py": """
                def pytest_runtest_protocol(item, nextitem):
                    return True if item.name == "test_bad" else None
            """,
            "test_a.py": TWO,
        },
        status="failed",
        counts={"passed": 1, "not_run": 1},
        doubt="only 1 of 2 selected tests finished",
    ),
    Project(
        name="no tests exit status made green",
        files={"conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 0\n", "test_a.py": ""},
        status="no_tests",
    ),
    Project(name="nothing there", files={"a.py": ""}, status="no_tests"),
    Project(
        name="all deselected", files={"test_a.py": GOOD}, request={"keyword": "nothing"}, status="no_tests"
    ),
    Project(
        name="module skips itself, and its doctests",
        files={
            "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
            "test_a.py": "import pytest\npytest.importorskip('no_such_module')\n",
            "test_b.py": "def test_b(): pass\n",
        },
        status="passed",
        counts={"passed": 1, "skipped": 2},
    ),
    Project(
        name="module skips itself",
        files={"test_a.py": "import pytest\npytest.skip('no', allow_module_level=True)\n"},
        status="no_tests",
    ),
    Project(
        name="usage error",
        files={"pytest.ini": ini("addopts = --no-such-option"), "test_a.py": GOOD},
        status="usage_error",
    ),
    Project(
        name="test that is not there",
        files={"test_a.py": GOOD},
        request={"tests": ("test_a.py::test_nowhere",)},
        status="usage_error",
    ),
    Project(
        name="every test twice",
        files={
            "conftest.py": "def pytest_collection_modifyitems(items): items[:] = items * 2\n",
            "test_a.py": "seen = []\ndef test_once():\n    seen.append(1)\n    assert len(seen) == 2\n",
        },
        status="failed",
        counts={"failed": 1},
    ),
    Project(
        name="tests run in a plugin's own way, and reported",
        files={
            "conftest.py": OWN_LOOP,
            "test_a.py": "import pytest\ndef test_1(): pass\n@pytest.mark.skip\ndef test_2(): pass\n",
        },
        status="passed",
        counts={"passed": 1, "skipped": 1},
    ),
    Project(
        name="tests run in a plugin's own way, one of them half",
        files={
            "conftest.py": OWN_LOOP.replace(
                "runtestprotocol(item", "(runtestprotocol if item.name != 'test_2' else half)(item"
            ),
            "test_a.py": "def test_1(): pass\ndef test_2(): pass\n",
        },
        status="failed",
        counts={"passed": 1, "not_run": 1},
        doubt="only 1 of 2 selected tests finished",
    ),
    Project(
        name="json report of its own hooks",
        files={
            "conftest.py": "def pytest_json_modifyreport(json_report): del json_report['tests']; json_report['nan'] = float('nan')\n",
            "test_a.py": GOOD,
        },
        status="passed",
    ),
    Project(
        name="exit in a conftest",
        files={"conftest.py": "import pytest\npytest.exit('not today')\n", "test_a.py": GOOD},
        status="collection_failed",
    ),
    Project(
        name="vanishes in a conftest",
        files={"conftest.py": "import os\nos._exit(0)\n", "test_a.py": GOOD},
        status="crashed",
    ),
    Project(
        name="segfault in a conftest",
        files={"conftest.py": "import ctypes\nctypes.string_at(0)\n", "test_a.py": GOOD},
        status="crashed",
    ),
    Project(
        name="vanishes when all has passed",
        files={"conftest.py": "import os\ndef pytest_unconfigure(): os._exit(0)\n", "test_a.py": GOOD},
        status="crashed",
        counts={"passed": 2},
    ),
    Project(
        name="segfault at exit",
        files={"test_a.py": "import atexit, ctypes\ndef test_good(): atexit.register(ctypes.string_at, 0)\n"},
        status="crashed",
        counts={"passed": 1},
    ),
    Project(
        name="subtests",
        files={
            "test_a.py": """
                import unittest

                class TestAll(unittest.TestCase):
                    def test_some(self):
                        for number in range(4):
                            with self.subTest(number=number):
                                assert number != 2

                def test_few(subtests):
                    for number in range(3):
                        with subtests.test(number=number):
                            pass
            """
        },
        since=(9, 0),
        status="failed",
        counts={"passed": 1, "failed": 1, "subtests_passed": 6, "subtests_failed": 1},
    ),
    Project(
        name="xfail strict and xpass",
        files={
            "test_a.py": """
                import pytest

                @pytest.mark.xfail(strict=True)
                def test_strict(): pass

                @pytest.mark.xfail
                def test_loose(): pass

                @pytest.mark.xfail
                def test_known(): assert 0

                @pytest.mark.skip
                def test_skipped(): pass
            """
        },
        status="failed",
        counts={"failed": 1, "xpassed": 1, "xfailed": 1, "skipped": 1},
    ),
    Project(
        name="fixtures that break",
        files={
            "test_a.py": """
                import pytest

                @pytest.fixture
                def broken(): raise ValueError("setup")

                @pytest.fixture
                def leaky():
                    yield
                    raise ValueError("teardown")

                def test_setup(broken): pass
                def test_teardown(leaky): pass
                def test_both(leaky): assert 0
            """
        },
        status="failed",
        counts={"failed": 1, "error": 3},
    ),
    Project(
        name="parallel",
        files={"test_a.py": TWO, "test_b.py": GOOD},
        request={"parallel": 2},
        plugins="xdist.plugin",
        status="failed",
        counts={"passed": 3, "failed": 1},
    ),
    Project(
        name="parallel with a crash",
        files={"test_a.py": GOOD + "def test_dies():\n    import os; os._exit(3)\n", "test_b.py": GOOD},
        request={"parallel": 2},
        plugins="xdist.plugin",
        status="crashed",
        counts={"passed": 4, "crashed": 1},
        note="went down",
    ),
    Project(
        name="parallel without xdist",
        files={
            "conftest.py": "import pytest\n",
            "test_a.py": GOOD,
            "pytest.ini": ini("addopts = -p no:xdist"),
        },
        request={"parallel": 2},
        status="usage_error",
    ),
    Project(
        name="repeated",
        files={
            "test_a.py": "import pathlib\ndef test_flaky():\n    p = pathlib.Path('seen')\n    p.touch()\n    p.write_text(p.read_text() + 'x')\n    assert p.read_text() != 'xx'\n"
        },
        request={"repeat": 3},
        status="failed",
        counts={"failed": 1},
    ),
    Project(
        name="doctests",
        files={"a.py": '"""\n>>> 1 + 1\n3\n"""\n', "test_a.py": GOOD},
        request={"args": ("--doctest-modules",)},
        status="failed",
        counts={"passed": 2, "failed": 1},
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name.replace(" ", "_"))
def test_project_is_judged_truly(case: Project, make_project, run_project, left_behind, told) -> None:
    project = make_project(case.files)
    for path in [path for path, text in case.files.items() if text == GONE]:
        (project / path).unlink()

    began = time.monotonic()
    run, _ = run_project(project, RunRequest(**{"timeout_s": 30.0, **case.request}), plugins=case.plugins)
    told(run, time.monotonic() - began, left_behind())

    if tuple(int(part) for part in run.environment.pytest.split(".")[:2]) < case.since:
        pytest.skip(f"pytest {run.environment.pytest} has no such thing")
    assert run.status.value == case.status, (run.terminations, run.counts, run.doubts, run.output_tail)
    assert case.counts.items() <= run.counts.items()
    assert (run.doubts == ()) if case.doubt is None else (case.doubt in "".join(run.doubts))
    assert case.note in "".join(run.notes)
    assert case.first in {"", *(test.id for test in run.tests[:1])}
    assert left_behind() == []


@pytest.mark.parametrize("folder", ["with spaces", "ümläut ✓", "new\nline", "[brackets]", "a::b", "-dash"])
def test_any_folder_name_is_a_project(folder: str, make_project, run_project) -> None:
    project = make_project({"test_a.py": TWO}, name=folder)

    run, _ = run_project(project, RunRequest(tests=("test_a.py",), timeout_s=30.0))

    assert run.counts == {"passed": 1, "failed": 1, "collected": 2}
    assert run.terminations == (Finished(exit_code=1),)


def test_path_with_brackets_is_itself_and_not_its_neighbour(make_project, run_project) -> None:
    several = "import pytest\n@pytest.mark.parametrize('n', ['a[b]', 'c'])\ndef test_n(n): pass\ndef test_o(): pass\n"
    project = make_project(
        {"dir[1]/test_a.py": several, "dir/test_b.py": TWO, "test_[c].py": GOOD, "test_d.py": TWO}
    )
    asked = ("dir[1]/test_a.py::test_n[a[b]]", "dir[1]/test_a.py::test_o", "test_d.py::test_good")

    some, _ = run_project(project, RunRequest(tests=(*asked, "test_[c].py"), timeout_s=30.0))
    folder, _ = run_project(project, RunRequest(tests=("dir[1]",), timeout_s=30.0))

    good = ("test_[c].py::test_good", "test_[c].py::test_better")
    assert sorted(test.id for test in some.tests) == sorted((*asked, *good))
    assert (some.status, folder.status) == (Status.PASSED, Status.PASSED)
    assert folder.counts == {"passed": 3, "collected": 3}


def test_run_leaves_nothing_in_the_project_but_bytecode(make_project, run_project) -> None:
    project = make_project({"test_a.py": TWO})
    before = set(project.rglob("*"))

    run_project(project)

    assert {
        path.name
        for path in set(project.rglob("*")) - before
        if path.name != "__pycache__" and path.suffix != ".pyc"
    } == set()


def test_project_that_cannot_be_written_to_is_run(make_project, run_project) -> None:
    project = make_project({"test_a.py": GOOD})
    project.chmod(0o555)

    run, _ = run_project(project)

    assert run.status is Status.PASSED


def test_rootdir_above_the_project_leaves_ids_that_can_be_asked_for_again(make_project, run_project) -> None:
    above = make_project({"pytest.ini": ini(), "inner/test_a.py": TWO})

    first, _ = run_project(above / "inner")
    again, _ = run_project(
        above / "inner", RunRequest(tests=tuple(test.id for test in first.tests), timeout_s=30.0)
    )

    assert [test.id for test in first.tests] == ["inner/test_a.py::test_good", "inner/test_a.py::test_bad"]
    assert [test.id for test in again.tests] == [test.id for test in first.tests]


def test_failure_names_the_line_of_the_project(make_project, run_project) -> None:
    project = make_project(
        {
            "shop.py": "def half(number):\n    return number // 0\n",
            "test_a.py": "from shop import half\n\n\ndef test_bad():\n    assert half(4) == 2\n",
        }
    )

    run, _ = run_project(project, RunRequest(timeout_s=30.0, detail=True))

    (failure,) = run.tests[0].failures
    assert failure.at is not None
    assert (failure.exception, failure.at.path, failure.at.line) == ("ZeroDivisionError", "shop.py", 2)
    assert failure.at.source == "return number // 0"
    assert ("number", "4") in failure.locals


def test_tests_see_the_environment_of_a_shell(make_project, run_project, monkeypatch) -> None:
    for secret in ("ANTHROPIC_API_KEY", "PYTEST_RECALL_PROJECT", "MCP_TOKEN", "CHROMA_API_KEY"):
        monkeypatch.setenv(secret, "secret")
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgres://mine")
    project = make_project(
        {"test_a.py": "import os\ndef test_show():\n    assert 0, ' '.join(sorted(os.environ))\n"}
    )

    run, _ = run_project(project, RunRequest(timeout_s=30.0, env=(("EXTRA", "1"),)))

    message = run.tests[0].failures[0].message
    assert "DATABASE_URL" in message
    assert "EXTRA" in message
    for hidden in (
        "ANTHROPIC_API_KEY",
        "PYTEST_RECALL_PROJECT",
        "MCP_TOKEN",
        "CHROMA_API_KEY",
        "COLUMNS",
        "NO_COLOR",
        "PYTHONPYCACHEPREFIX",
    ):
        assert hidden not in message.split()


def test_interpreter_without_pytest_is_an_error_that_teaches(make_project, run_project, tmp_path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    project = make_project({"test_a.py": GOOD})

    with pytest.raises(NoPytest, match="-m pip install pytest"):
        run_project_with(run_project, project, tmp_path / "bare")


def run_project_with(run_project, project: Path, environment: Path) -> None:
    found = target.resolve(project, explicit=str(environment), environ=os.environ)
    assert isinstance(found, Target)
    run_project(project, target=found)


def test_runs_at_once_do_not_mix(make_project, python, tmp_path, left_behind) -> None:
    slow = (
        "import time\n"
        + "".join(f"def test_{n}(): time.sleep(0.1)\n" for n in range(5))
        + "def test_bad(): assert 0\n"
    )
    project = make_project({"test_slow.py": slow, "test_fast.py": GOOD})
    runs: dict[str, Run] = {}

    async def one(number: int) -> None:
        name = ("test_slow.py", "test_fast.py")[number % 2]
        run, _ = await runner.run(
            RunRequest(tests=(name,), timeout_s=30.0),
            Target(root=str(project), python=python, source="test"),
            run_id=f"run-{number}",
            spool=tmp_path / "spool",
            cache_dir=tmp_path / "cache",
            environ=os.environ,
            revision=Revision(digest="same"),
            space="agent",
            source="test",
        )
        runs[run.id] = run

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(one, number)

    anyio.run(main)

    assert [runs[f"run-{number}"].counts for number in range(4)] == [
        {"passed": 5, "failed": 1, "collected": 6},
        {"passed": 2, "collected": 2},
    ] * 2
    assert left_behind() == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"tests": ("-k",)}, BadRequest),
        ({"tests": ("@file",)}, BadRequest),
        ({"tests": ("../elsewhere/test_a.py",)}, UnknownTest),
        ({"tests": ("test_b.py",)}, UnknownTest),
        ({"args": ("--basetemp=/",)}, BadRequest),
        ({"env": (("LD_PRELOAD", "x"),)}, BadRequest),
    ],
)
def test_request_that_may_not_be_run_starts_nothing(request_, error, make_project, run_project) -> None:
    project = make_project({"test_a.py": GOOD})

    with pytest.raises(error):
        run_project(project, RunRequest(**request_))


@pytest.mark.parametrize(
    ("files", "request_", "words"),
    [
        (
            {"pytest.ini": ini("addopts = --cov=shop --no-such")},
            {},
            ("'--cov=shop', '--no-such'", "pytest-cov is not installed", "pytest.ini"),
        ),
        ({}, {"args": ("--timeout=3",)}, ("'--timeout=3'", "pytest-timeout is not installed")),
        ({"pytest.ini": ini("minversion = 99")}, {}, ("requires pytest-99",)),
        ({"pytest.ini": "[pytest\n"}, {}, ("pytest.ini:1",)),
        ({}, {"args": ("--maxfail=many",)}, ("--maxfail: invalid int value: 'many'",)),
    ],
)
def test_refused_command_line_says_which_word_and_what_helps(
    files, request_, words, make_project, run_project
) -> None:
    run, _ = run_project(make_project({"test_a.py": GOOD, **files}), RunRequest(timeout_s=30.0, **request_))

    assert run.status is Status.USAGE_ERROR
    (end,) = run.terminations
    assert isinstance(end, NotStarted)
    assert all(word in end.message for word in words), end.message


def test_files_of_a_run_are_private_while_they_are_there(make_project, run_project, tmp_path) -> None:
    seen: dict[str, int] = {}

    async def keep(*_: object) -> None:
        folder = tmp_path / "spool" / "run"
        for path in [folder, *folder.rglob("*")]:
            seen[path.relative_to(folder).as_posix()] = path.stat().st_mode & 0o777

    run_project(make_project({"test_a.py": TWO}), keep=keep)

    assert seen["."] == seen["launch-0000"] == 0o700
    assert seen["launch-0000/events.jsonl"] == 0o600
    assert not (tmp_path / "spool" / "run").exists()


def test_program_that_is_no_python_is_doubted(make_project, run_project) -> None:
    project = make_project({"test_a.py": GOOD})
    found = target.resolve(project, explicit="/bin/true", environ={})

    run, _ = run_project(project, target=found)

    assert run.status.value == "internal_error"
    (end,) = run.terminations
    assert end.message == "It ended with exit code 0 and never came to pytest. Is it a Python?"
