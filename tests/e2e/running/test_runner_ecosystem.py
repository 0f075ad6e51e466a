"""The plugins that projects use: what they do to tests is told as pytest tells it, every attempt and every culprit.

They are tried where the target's interpreter has them: `nox -s ecosystem` installs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_recall.model import Run, RunRequest
from pytest_recall.running import target

FLAKY = """
    tries = []
    def test_flaky():
        tries.append(1)
        assert len(tries) == 3
"""
MIXED = {
    "test_a.py": "def test_1(): pass\ndef test_2(): assert 2 == 3\n",
    "test_b.py": "import pytest\nclass TestB:\n    def test_3(self): pass\n    def test_4(self): pytest.skip('no')\n",
}
MIXED_COUNTS = {"passed": 2, "failed": 1, "skipped": 1}
DIES = {
    "test_a.py": "".join(f"def test_{n}(): pass\n" for n in range(4)),
    "test_b.py": "import os\ndef test_dies(): os._exit(0)\ndef test_later(): pass\n",
}


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A project that uses a plugin, and what its Run must hold."""

    name: str
    needs: str  # modules, one or more
    files: dict[str, str]
    status: str
    counts: dict[str, int]
    request: dict[str, Any] = field(default_factory=dict)
    attempts: dict[str, list[str]] = field(default_factory=dict)  # outcomes by the end of an id
    culprits: tuple[str, ...] = ()
    says: str = ""  # within the failures' messages and texts
    holds: Callable[[Run], bool] = lambda _: True


def ini(*lines: str) -> dict[str, str]:
    return {"pytest.ini": "[pytest]\n" + "".join(f"{line}\n" for line in lines)}


TABLE = [
    *(
        Plugin(
            name=f"xdist {mode}",
            needs="xdist",
            files=MIXED,
            request={"parallel": 2, "args": (f"--dist={mode}",)},
            status="failed",
            counts=MIXED_COUNTS,
            holds=lambda run: (
                {attempt.worker for test in run.tests for attempt in test.attempts} <= {"gw0", "gw1"}
            ),
        )
        for mode in ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
    ),
    *(
        Plugin(
            name=f"xdist {mode}, a worker dies",
            needs="xdist",
            files=DIES,
            request={"parallel": 2, "args": (f"--dist={mode}",)},
            status="crashed",
            counts={"passed": 5, "crashed": 1},
            culprits=("test_b.py::test_dies",),
        )
        for mode in ("load", "loadscope", "loadfile", "worksteal")
    ),
    Plugin(
        name="xdist, a path with brackets",
        needs="xdist",
        files={"dir[1]/test_a.py": MIXED["test_a.py"], "dir/test_b.py": MIXED["test_b.py"]},
        request={"parallel": 2, "tests": ("dir[1]/test_a.py::test_1",)},
        status="passed",
        counts={"passed": 1, "collected": 1},
    ),
    Plugin(
        name="xdist breaks over a worker that dies",  # as it does when it writes to one before it has read of its end
        needs="xdist",
        files=DIES
        | {
            "conftest.py": "import os, pytest\n"
            "@pytest.hookimpl(optionalhook=True)\n"
            "def pytest_testnodedown(error):\n"
            "    if error and not os.path.exists('broke'):\n"
            "        open('broke', 'w').close()\n"
            "        raise OSError('cannot send (already closed?)')\n"
        },
        request={"parallel": 2},
        status="crashed",
        counts={"passed": 5, "crashed": 1},
        culprits=("test_b.py::test_dies",),
    ),
    Plugin(
        name="xdist loadgroup, a worker dies",  # and xdist 3.8's controller waits for it for ever, also without us
        needs="xdist",
        files=DIES,
        request={"parallel": 2, "args": ("--dist=loadgroup",), "timeout_s": 12.0},
        status="timed_out",
        counts={"crashed": 1, "collected": 6},
        culprits=("test_b.py::test_dies",),
        # whether the test that was waiting for the worker has run is xdist's luck
        holds=lambda run: run.counts["passed"] + run.counts.get("not_run", 0) == 5,
    ),
    Plugin(
        name="xdist asked for by the project",
        needs="xdist",
        files=MIXED | ini("addopts = -n 2"),
        status="failed",
        counts=MIXED_COUNTS,
    ),
    Plugin(
        name="rerunfailures",
        needs="pytest_rerunfailures",
        files={"test_a.py": FLAKY},
        request={"args": ("--reruns=3",)},
        status="passed",
        counts={"passed": 1, "rerun": 2},
        attempts={"test_flaky": ["failed", "failed", "passed"]},
    ),
    Plugin(
        name="rerunfailures with workers",
        needs="pytest_rerunfailures xdist",
        files={"test_a.py": FLAKY},
        request={"args": ("--reruns=3",), "parallel": 2},
        status="passed",
        counts={"passed": 1, "rerun": 2},
        attempts={"test_flaky": ["failed", "failed", "passed"]},
    ),
    Plugin(
        name="flaky",
        needs="flaky",
        files={
            "test_a.py": "    from flaky import flaky\n"
            + FLAKY.replace("    def test", "    @flaky(max_runs=4)\n    def test")
        },
        status="passed",
        counts={"passed": 1},
        attempts={"test_flaky": ["failed", "failed", "passed"]},
    ),
    Plugin(
        name="subtests",
        needs="pytest_subtests",
        files={
            "test_a.py": """
                def test_some(subtests):
                    for n in range(4):
                        with subtests.test(n=n):
                            assert n != 2
            """
        },
        status="failed",
        counts={"failed": 1, "subtests_passed": 3, "subtests_failed": 1},
        says="assert 2 != 2",
    ),
    Plugin(
        name="asyncio",
        needs="pytest_asyncio",
        files=ini("asyncio_mode = auto")
        | {
            "test_a.py": "import asyncio\nasync def test_a(): await asyncio.sleep(0)\nasync def test_b(): assert 1 == 2\n"
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
        says="assert 1 == 2",
    ),
    Plugin(
        name="anyio on two backends",
        needs="anyio trio",
        files={
            "test_a.py": """
                import anyio, pytest
                pytestmark = pytest.mark.anyio
                @pytest.fixture(params=["asyncio", "trio"])
                def anyio_backend(request): return request.param
                async def test_a(anyio_backend_name):
                    await anyio.sleep(0)
                    assert anyio_backend_name == "asyncio"
            """
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
        attempts={"test_a[trio]": ["failed"], "test_a[asyncio]": ["passed"]},
    ),
    Plugin(
        name="trio",
        needs="pytest_trio",
        files=ini("trio_mode = true")
        | {
            "test_a.py": "import trio\nasync def test_a(): await trio.sleep(0)\nasync def test_b(): assert 1 == 2\n"
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Plugin(
        name="twisted",
        needs="twisted",
        files={
            "test_a.py": """
                from twisted.internet import defer
                from twisted.trial import unittest

                class TestA(unittest.TestCase):
                    def test_good(self): return defer.succeed(1)
                    def test_bad(self): self.assertEqual(1, 2)
            """
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
    ),
    Plugin(
        name="django",
        needs="pytest_django django",
        files=ini("DJANGO_SETTINGS_MODULE = settings", "pythonpath = .")
        | {
            "settings.py": """
                SECRET_KEY = "x"
                INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
                DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
            """,
            "test_a.py": """
                import pytest
                from django.test import TestCase

                @pytest.mark.django_db
                def test_user(django_user_model):
                    django_user_model.objects.create(username="one")
                    assert django_user_model.objects.count() == 1

                def test_without_leave():
                    from django.contrib.auth.models import User
                    User.objects.count()

                class TestOwn(TestCase):
                    def test_count(self):
                        from django.contrib.auth.models import User
                        assert User.objects.count() == 0
            """,
        },
        status="failed",
        counts={"passed": 2, "failed": 1},
        says="Database access not allowed",
    ),
    Plugin(
        name="bdd",
        needs="pytest_bdd",
        files={
            "shop.feature": """
                Feature: Shop
                  Scenario: Half
                    Given a price of 4
                    Then half of it is 3
            """,
            "test_a.py": """
                from pytest_bdd import given, parsers, scenarios, then

                scenarios("shop.feature")

                @given(parsers.parse("a price of {number:d}"), target_fixture="price")
                def price(number): return number

                @then(parsers.parse("half of it is {number:d}"))
                def half(price, number): assert price / 2 == number
            """,
        },
        status="failed",
        counts={"failed": 1},
        says="assert (4 / 2) == 3",
    ),
    Plugin(
        name="hypothesis",
        needs="hypothesis",
        files={
            "test_a.py": """
                from hypothesis import given, settings, strategies as st

                @settings(database=None, derandomize=True)
                @given(st.integers())
                def test_small(number): assert number < 1000

                @settings(database=None)
                @given(st.integers())
                def test_good(number): pass
            """
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
        says="number=1000",
    ),
    Plugin(
        name="unittest",
        needs="unittest",
        files={
            "test_a.py": """
                import unittest

                class TestA(unittest.TestCase):
                    def test_good(self): pass
                    def test_bad(self): self.assertEqual({"a": 1}, {"a": 2})
                    @unittest.expectedFailure
                    def test_known(self): self.fail()
                    @unittest.skip("not now")
                    def test_skipped(self): pass

                class TestIsolated(unittest.IsolatedAsyncioTestCase):
                    async def test_async(self): pass

                class TestSetup(unittest.TestCase):
                    @classmethod
                    def setUpClass(cls): raise ValueError("class")
                    def test_never(self): pass
            """
        },
        status="failed",
        counts={"passed": 2, "failed": 1, "error": 1, "xfailed": 1, "skipped": 1},
        says="{'a': 1} != {'a': 2}",
    ),
    Plugin(
        name="doctest in modules and text",
        needs="doctest",
        files={
            "shop.py": 'def half(n):\n    """\n    >>> half(4)\n    3\n    """\n    return n // 2\n',
            "test_guide.txt": ">>> 1 + 1\n2\n",
        },
        request={"args": ("--doctest-modules",)},
        status="failed",
        counts={"passed": 1, "failed": 1},
        says="Expected:\n    3\nGot:\n    2",
    ),
    Plugin(
        name="benchmark",
        needs="pytest_benchmark",
        files={"test_a.py": "def test_fast(benchmark): assert benchmark(lambda: 1) == 1\n"},
        request={"args": ("--benchmark-disable",)},
        status="passed",
        counts={"passed": 1},
    ),
    Plugin(
        name="cov",
        needs="pytest_cov",
        files=ini("addopts = --cov=shop --cov-fail-under=100")
        | {
            "shop.py": "def half(n):\n    if n: return n / 2\n    return 0\n",
            "test_a.py": "import shop\ndef test_a(): assert shop.half(4) == 2\n",
        },
        status="failed",
        counts={"passed": 1},
        holds=lambda run: "no test failed" in "".join(run.doubts),
    ),
    Plugin(
        name="timeout by signal",
        needs="pytest_timeout",
        files={"test_a.py": "import time\ndef test_slow(): time.sleep(60)\ndef test_good(): pass\n"},
        request={"args": ("--timeout=0.3", "--timeout-method=signal")},
        status="failed",
        counts={"passed": 1, "failed": 1},
        says="Timeout",
    ),
    Plugin(
        name="timeout by thread, which ends the process",
        needs="pytest_timeout",
        files={"test_a.py": "import time\ndef test_slow(): time.sleep(60)\ndef test_good(): pass\n"},
        request={"args": ("--timeout=0.3", "--timeout-method=thread")},
        status="crashed",
        counts={"passed": 1, "crashed": 1},
        culprits=("test_a.py::test_slow",),
    ),
    Plugin(
        name="randomly",
        needs="pytest_randomly",
        files=MIXED,
        request={"args": ("--randomly-seed=7",)},
        status="failed",
        counts=MIXED_COUNTS,
        holds=lambda run: run.environment.seed == "7",
    ),
    Plugin(
        name="mock",
        needs="pytest_mock",
        files={
            "test_a.py": """
                import os
                def test_patches(mocker):
                    mocker.patch("builtins.open", side_effect=OSError)
                    mocker.patch("os.write", side_effect=OSError)
                    mocker.patch("time.time", return_value=0)
                    mocker.patch("json.dumps", return_value="")
                def test_called(mocker):
                    called = mocker.Mock()
                    called(1)
                    called.assert_called_once_with(2)
            """
        },
        status="failed",
        counts={"passed": 1, "failed": 1},
        says="Actual: mock(1)",
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name.replace(" ", "_"))
def test_plugin_is_told_as_pytest_tells_it(
    *, case: Plugin, make_project, run_project, left_behind, python, monkeypatch
) -> None:
    missing = [module for module in case.needs.split() if not target.has(python, module)]
    if missing:
        pytest.skip(f"the target's interpreter has no {', '.join(missing)} (`nox -s ecosystem` has all)")
    # Each takes hold of every test, and the last two of each other's.
    off = [name for name in ("randomly", "flaky", "rerunfailures") if name not in case.name]
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in off))
    plugins = "xdist.plugin" if case.needs == "xdist" else "all"  # each of its processes would load them

    run, _ = run_project(
        make_project(case.files), RunRequest(**{"timeout_s": 60.0, **case.request}), plugins=plugins
    )

    assert run.status.value == case.status, (run.terminations, run.counts, run.doubts, run.output_tail)
    assert case.counts.items() <= run.counts.items(), run.counts
    told = {test.id: [attempt.outcome.value for attempt in test.attempts] for test in run.tests}
    for end, outcomes in case.attempts.items():
        assert [found for test, found in told.items() if test.endswith(end)] == [outcomes]
    assert run.culprits == case.culprits
    assert case.says in "".join(
        f"{failure.message}\n{failure.text}" for test in run.tests for failure in test.failures
    )
    assert case.holds(run), run
    assert left_behind() == []
