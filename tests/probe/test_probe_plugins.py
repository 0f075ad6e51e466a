"""The plugins that change how tests run: what they do comes through as they say it."""

import pytest

SUITE = {
    "test_a.py": "def test_1(): pass\ndef test_2(): assert 2 == 3\ndef test_3(nope): pass\n",
    "test_b.py": "import pytest\ndef test_4(): pytest.skip('four')\n@pytest.mark.xfail\ndef test_5(): assert 0\n",
}
SUITE_VERDICTS = {
    "test_1": ["passed"],
    "test_2": ["failed"],
    "test_3": ["error"],
    "test_4": ["skipped"],
    "test_5": ["xfailed"],
}


@pytest.mark.parametrize("dist", ["load", "loadfile", "loadscope"])
def test_distributed_run_tells_the_same_with_its_workers(probe, needs, dist):
    needs("xdist")
    probe.write(SUITE)
    ran = probe.run("-n2", f"--dist={dist}", locals=True)
    assert ran.verdicts() == SUITE_VERDICTS
    assert ran.one("session")["workers"] == 2
    assert {fact["worker"] for fact in ran.all("start")} <= {"gw0", "gw1"}
    assert {fact["worker"] for fact in ran.all("phase")} <= {"gw0", "gw1"}
    assert len(ran.all("start")) == len(ran.all("finish")) == 5
    assert (ran.rc, ran.all("note"), ran.all("internalerror")) == (1, [], [])
    alone = probe.run(locals=True)
    for test in ("test_2", "test_3"):
        apart, same = ran.failure(test), alone.failure(test)
        assert apart["text"] == same["text"]
        assert apart["type"] == same["type"]
        assert apart["frames"] == same["frames"]


def test_worker_that_dies_names_its_test_and_the_others_finish(probe, needs):
    needs("xdist")
    probe.write({"test_x.py": "import os\n" + "".join(f"def test_{n}(): pass\n" for n in range(6))})
    probe.write({"test_y.py": "import os\ndef test_dies(): os._exit(0)\n"})
    ran = probe.run("-n2")
    died = ran.one("phase", id="test_y.py::test_dies")
    assert died["crashed"] is True
    assert died["status" if "status" in died else "outcome"] == "failed"
    assert "crashed while running" in died["failure"]["message"]
    assert ran.one("workerdown")["worker"] == ran.one("start", id="test_y.py::test_dies")["worker"]
    assert ran.all("finish", id="test_y.py::test_dies") == []
    assert len(ran.all("finish")) == 6


def test_collection_errors_of_workers_are_told_once(probe, needs):
    needs("xdist")
    probe.write({"test_x.py": "import no_such_module\n", "test_y.py": "def test_y(): pass\n"})
    ran = probe.run("-n2")
    failure = ran.one("collect")["failure"]
    assert "no_such_module" in failure["message"]
    assert failure["type"] == "ModuleNotFoundError"


def test_stacks_of_workers_are_dumped_too(probe, needs):
    needs("xdist")
    probe.write(
        {
            "test_x.py": """
            import time
            def hangs_in_the_worker():
                time.sleep(600)
            def test_hangs():
                hangs_in_the_worker()
            """
        }
    )
    launched = probe.launch("-n1")
    launched.wait_for_fact("start", id="test_x.py::test_hangs")

    def dumped():
        launched.tell(b"D")
        return any("hangs_in_the_worker" in path.read_text() for path in launched.run_dir.glob("stack-*.txt"))

    launched.wait_for(dumped)
    launched.tell(b"K")
    assert launched.end().json("exit.json")["clean"]


def test_every_attempt_of_a_rerun_is_told(probe, needs):
    needs("pytest_rerunfailures")
    probe.write(
        {
            "test_x.py": """
            import pytest
            tries = []
            @pytest.mark.flaky(reruns=2)
            def test_flaky():
                tries.append(1)
                assert len(tries) == 3
            @pytest.mark.flaky(reruns=1)
            def test_always():
                assert 0
            def test_once(): pass
            """
        }
    )
    ran = probe.run()
    assert ran.verdicts() == {
        "test_flaky": ["rerun", "rerun", "passed"],
        "test_always": ["rerun", "failed"],
        "test_once": ["passed"],
    }
    attempts = ran.all("phase", id="test_x.py::test_flaky", when="call")
    assert ["assert 2 == 3" in str(fact.get("failure")) for fact in attempts] == [False, True, False]
    assert all(fact["failure"]["frames"] for fact in attempts[:2])
    # rerunfailures < 13 starts and finishes every attempt, and tears down the last one only
    last = {fact["id"]: fact["teardown_ok"] for fact in ran.all("finish")}
    assert list(last.values()) == [True, True, True]
    assert len(ran.all("start")) == len(ran.all("finish"))


@pytest.mark.parametrize("workers", [0, 1])
def test_attempt_that_a_plugin_keeps_quiet_is_told(probe, needs, workers):
    """As `flaky` does: pytest hears of the last attempt only."""
    if workers:
        needs("xdist")
    probe.write(
        {
            "conftest.py": """
                from _pytest.runner import runtestprotocol

                def pytest_runtest_protocol(item, nextitem):
                    quiet, attempt = True, 0
                    while quiet:
                        attempt += 1
                        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                        reports = runtestprotocol(item, nextitem=nextitem, log=False)
                        quiet = attempt < 3 and any(report.failed for report in reports)
                        for report in reports:
                            if not quiet or report.when != "call":
                                item.ihook.pytest_runtest_logreport(report=report)
                        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                    return True
                """,
            "test_x.py": """
                tries = []
                def test_flaky():
                    tries.append(1)
                    assert len(tries) == 3
                def test_good(): pass
                """,
        }
    )
    ran = probe.run(*(["-n1"] if workers else []))
    assert ran.verdicts() == {"test_flaky": ["rerun", "rerun", "passed"], "test_good": ["passed"]}
    assert [f["failure"]["frames"][-1][2] for f in ran.all("phase", outcome="rerun")] == ["test_flaky"] * 2
    assert ran.rc == 0


SUBTESTS = """
    import unittest

    def test_mixed(subtests):
        for n in range(4):
            with subtests.test(msg="step", n=n):
                assert n != 2

    def test_good(subtests):
        for n in range(100):
            with subtests.test(n=n):
                pass

    class TestUnit(unittest.TestCase):
        def test_unit(self):
            for n in range(3):
                with self.subTest(n=n):
                    self.assertNotEqual(n, 1)
    """


@pytest.mark.parametrize("workers", [0, 1])
def test_failed_subtests_are_told_and_passed_ones_counted(probe, needs, target, workers):
    if target["pytest"] < [9, 0]:
        needs("pytest_subtests")
    if workers:
        needs("xdist")
    probe.write({"test_x.py": SUBTESTS})
    ran = probe.run(*([f"-n{workers}"] if workers else []))
    failed = [fact for fact in ran.all("phase") if "subtest" in fact]
    assert [fact["id"] for fact in failed] == ["test_x.py::test_mixed", "test_x.py::TestUnit::test_unit"]
    assert "step" in failed[0]["subtest"]["text"]
    assert "n=" in failed[0]["subtest"]["text"]
    assert failed[0]["failure"]["message"].splitlines()[0].endswith("assert 2 != 2")
    assert failed[0]["failure"]["frames"][-1][2] == "test_mixed"
    counts = {fact["id"]: fact.get("subtests") for fact in ran.all("finish")}
    assert counts["test_x.py::test_mixed"] == {"passed": 3}
    assert counts["test_x.py::test_good"] == {"passed": 100}
    assert len(ran.all("phase", when="call")) == 5
    assert ran.rc == 1


def test_async_tests_are_tests(probe, needs):
    needs("pytest_asyncio")
    probe.write(
        {
            "test_x.py": """
            import asyncio, pytest
            @pytest.mark.asyncio
            async def test_good(): await asyncio.sleep(0)
            async def inner(): raise ValueError("inside")
            @pytest.mark.asyncio
            async def test_bad(): await inner()
            """
        }
    )
    ran = probe.run()
    assert ran.verdicts() == {"test_good": ["passed"], "test_bad": ["failed"]}
    failure = ran.failure("test_bad")
    assert failure["message"] == "ValueError: inside"
    assert [frame[2] for frame in failure["frames"]][-2:] == ["test_bad", "inner"]


def test_random_order_tells_its_seed(probe, needs):
    needs("pytest_randomly")
    probe.write(SUITE)
    ran = probe.run(args=["-p", "no:cacheprovider", "--randomly-seed=77"])
    assert ran.one("random_seed")["seed"] == "77"
    assert ran.verdicts() == SUITE_VERDICTS


def test_no_seed_is_told_without_random_order(probe):
    probe.write(SUITE)
    assert probe.run().all("random_seed") == []
