"""Every way a test can end, in pytest's own words."""

import pytest

PROJECT = {
    "conftest.py": """
        import pytest

        @pytest.fixture
        def broken():
            raise RuntimeError("no database")

        @pytest.fixture
        def untidy():
            yield
            raise RuntimeError("still open")
        """,
    "test_all.py": """
        import time
        import unittest
        import warnings

        import pytest

        def test_passes():
            pass

        def test_fails():
            print("seen before the failure")
            assert 1 + 1 == 3

        def test_errors(broken):
            pass

        def test_passes_and_leaks(untidy):
            pass

        def test_fails_and_leaks(untidy):
            assert False

        def test_skips():
            pytest.skip("not here")

        @pytest.mark.skip(reason="not today")
        def test_marked_skip():
            pass

        @pytest.mark.xfail(reason="known bug")
        def test_xfails():
            assert 0

        @pytest.mark.xfail(reason="fixed meanwhile")
        def test_xpasses():
            pass

        @pytest.mark.xfail(reason="fixed at last", strict=True)
        def test_xpasses_strictly():
            pass

        @pytest.mark.parametrize("text", ["a", "b::c", "[d]"])
        def test_many(text):
            pass

        def test_slow_setup(record_property):
            record_property("speed", 3)
            record_property("thing", object())

        @pytest.fixture
        def slow():
            time.sleep(0.02)
            yield
            time.sleep(0.02)

        def test_uses_slow(slow):
            pass

        def test_warns():
            for _ in range(3):
                warnings.warn("old", DeprecationWarning)

        class TestGroup:
            def test_in_class(self):
                pass

        class TestUnit(unittest.TestCase):
            def test_unit(self):
                self.assertEqual(1, 2)

            @unittest.skip("unit reason")
            def test_unit_skip(self):
                pass

            @unittest.expectedFailure
            def test_unit_xfail(self):
                self.fail()
        """,
    "test_skipped_module.py": """
        import pytest
        pytest.skip("whole module", allow_module_level=True)
        """,
}


@pytest.fixture(scope="module")
def ran(shared_probe):
    shared_probe.write(PROJECT)
    return shared_probe.run("-W", "always", list="names")


def test_every_outcome_is_told_in_pytests_own_words(ran):
    assert ran.verdicts() == {
        "test_passes": ["passed"],
        "test_fails": ["failed"],
        "test_errors": ["error"],
        "test_passes_and_leaks": ["passed", "error"],
        "test_fails_and_leaks": ["failed", "error"],
        "test_skips": ["skipped"],
        "test_marked_skip": ["skipped"],
        "test_xfails": ["xfailed"],
        "test_xpasses": ["xpassed"],
        "test_xpasses_strictly": ["failed"],
        "test_many[a]": ["passed"],
        "test_many[b::c]": ["passed"],
        "test_many[[d]]": ["passed"],
        "test_slow_setup": ["passed"],
        "test_uses_slow": ["passed"],
        "test_warns": ["passed"],
        "TestGroup::test_in_class": ["passed"],
        "TestUnit::test_unit": ["failed"],
        "TestUnit::test_unit_skip": ["skipped"],
        "TestUnit::test_unit_xfail": ["xfailed"],
    }


def test_every_test_starts_and_finishes_once(ran):
    starts = [fact["id"] for fact in ran.all("start")]
    assert starts == [fact["id"] for fact in ran.all("finish")]
    assert len(starts) == len(set(starts)) == ran.one("collected")["n"] == 20


def test_reasons_are_bare(ran):
    reasons = {f["id"].partition("::")[2]: f["reason"] for f in ran.all("phase") if "reason" in f}
    expected = {
        "test_skips": "not here",
        "test_marked_skip": "not today",
        "test_xfails": "known bug",
        "test_xpasses": "fixed meanwhile",
        "TestUnit::test_unit_skip": "unit reason",
    }
    assert {name: reasons[name] for name in expected} == expected


def test_teardown_that_failed_is_not_ok(ran):
    bad = {fact["id"].partition("::")[2] for fact in ran.all("finish") if not fact["teardown_ok"]}
    assert bad == {"test_passes_and_leaks", "test_fails_and_leaks"}


def test_every_setup_and_teardown_is_told_once_folded_or_apart(ran):
    apart = {(fact["id"], fact["when"]) for fact in ran.all("phase", outcome="passed")}
    folded = {
        (fact["id"], when) for fact in ran.all("finish") for when in ("setup", "teardown") if when in fact
    }
    assert not apart & folded
    ok = {fact["id"] for fact in ran.all("finish") if fact["teardown_ok"]}
    assert ok == {nodeid for nodeid, when in apart | folded if when == "teardown"}


def test_slow_phases_stand_apart(ran):
    for when in ("setup", "teardown"):
        assert ran.one("phase", id="test_all.py::test_uses_slow", when=when)["dur"] >= 0.02
        assert when not in ran.one("finish", id="test_all.py::test_uses_slow")


def test_properties_come_as_text_without_running_the_projects_code(ran):
    props = ran.one("phase", id="test_all.py::test_slow_setup", when="teardown")["props"]
    assert props == [["speed", "3"], ["thing", "<object>"]]


def test_output_comes_with_failures_only(ran):
    told = [fact for fact in ran.all("phase") if "sections" in fact]
    assert [fact["sections"] for fact in told if fact["id"].endswith("test_fails")] == [
        {"Captured stdout call": "seen before the failure\n"}
    ]
    assert all(fact["outcome"] == "failed" for fact in told)


def test_warnings_of_one_kind_are_told_once_and_counted(ran):
    warned = [f for f in ran.all("warn") if f["message"] == "old"]
    assert [f.get("count", 1) for f in warned] == [1, 2]
    assert warned[0]["category"] == "DeprecationWarning"
    assert warned[0]["path"].endswith("test_all.py")
    assert warned[0]["line"] > 1
    assert warned[0]["id"] == "test_all.py::test_warns"


def test_skipped_module_is_a_collector_with_its_reason(ran):
    told = ran.one("collect")
    assert (told["id"], told["outcome"], told["reason"]) == (
        "test_skipped_module.py",
        "skipped",
        "whole module",
    )


def test_session_says_what_runs_where(ran, target, shared_probe):
    told = ran.one("session")
    assert told["root"] == told["invocation_dir"] == str(shared_probe.project)
    assert told["ini"] == str(shared_probe.project / "pytest.ini")
    assert told["version"][:2] == target["python"]
    assert [int(part) for part in told["pytest"].split(".")[:2]] == target["pytest"]
    assert told["workers"] == 0
    assert not any("recall" in name for name in told["plugins"])


def test_the_end_is_told_in_order(ran):
    assert [fact["e"] for fact in ran.facts[-2:]] == ["sessionfinish", "end"]
    end = ran.one("sessionfinish")
    assert (end["exit"], end["collected"], "lost" in end) == (1, 20, False)
    assert ran.rc == 1
    assert ran.json("exit.json") == {"rc": 1, "clean": True, "killed": 0, "names": []}
    assert ran.json("startup.json") is None


def test_times_never_go_back(ran):
    times = [fact["t"] for fact in ran.facts]
    assert times == sorted(times)


def test_no_tests_is_pytests_own_exit_code(probe):
    ran = probe.run()
    assert (ran.rc, ran.one("sessionfinish")["exit"], ran.one("collected")["n"]) == (5, 5, 0)


def test_deselected_tests_are_counted(probe):
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"})
    told = probe.run("-k", "test_a").one("collected")
    assert (told["n"], told["deselected"]) == (1, 2)


def test_stopping_early_is_told_by_what_did_not_start(probe):
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pass\n"})
    ran = probe.run("-x")
    assert [fact["id"] for fact in ran.all("start")] == ["test_x.py::test_a", "test_x.py::test_b"]
    assert ran.one("collected")["n"] == 3


def test_pytest_exit_says_why(probe):
    probe.write(
        {
            "test_x.py": "def test_a(): pass\ndef test_b():\n    import pytest\n    pytest.exit('enough', returncode=77)\n"
        }
    )
    ran = probe.run()
    assert ran.rc == 77
    assert ran.one("interrupt")["text"] == "enough"
    assert len(ran.all("start")) == 2
    assert len(ran.all("finish")) == 1


def test_keyboard_interrupt_says_where(probe):
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b():\n    raise KeyboardInterrupt\n"})
    ran = probe.run()
    told = ran.one("interrupt")
    assert ran.rc == 2
    assert told["type"] == "KeyboardInterrupt"
    assert told["text"].endswith("test_x.py:3")


@pytest.mark.parametrize("test", ["test_b", "test_c"], ids=["with another after it", "the last"])
@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_report_that_a_hook_turns_into_a_failure_is_one(probe, when, test):
    hook = f"""
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            if (report.nodeid, report.when) == ("test_x.py::{test}", "{when}"):
                report.outcome, report.longrepr = "failed", "left a thread behind"
        """
    probe.write(
        {
            "conftest.py": hook,
            "test_x.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n",
        }
    )
    ran = probe.run()
    [told] = [fact for fact in ran.all("phase") if fact["outcome"] == "failed"]
    assert (told["id"], told["when"]) == (f"test_x.py::{test}", when)
    assert told["failure"]["message"] == "left a thread behind"
    assert "1 failed" in ran.output or "1 error" in ran.output


def test_a_report_is_looked_at_last_also_where_a_plugin_has_words_of_its_own(probe):
    hooks = """
        def pytest_report_teststatus(report): pass
        def pytest_runtest_logreport(report):
            if (report.nodeid, report.when) == ("test_x.py::test_b", "call"):
                report.outcome, report.longrepr = "failed", "left a thread behind"
        """
    probe.write({"conftest.py": hooks, "test_x.py": "def test_a(): pass\ndef test_b(): pass\n"})
    assert probe.run().verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}


def test_internal_error_of_a_plugin_is_told_and_keeps_what_finished(probe):
    probe.write(
        {
            "conftest.py": """
                def pytest_runtest_logreport(report):
                    if "test_b" in report.nodeid and report.when == "call":
                        raise RuntimeError("hook boom")
                """,
            "test_x.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n",
        }
    )
    ran = probe.run()
    told = ran.one("internalerror")
    assert ran.rc == 3
    assert told["type"] == "RuntimeError"
    assert "hook boom" in told["text"]
    assert [fact["id"] for fact in ran.all("finish")] == ["test_x.py::test_a"]
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["passed"]}
