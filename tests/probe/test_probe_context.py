"""What tests tell of themselves: by test, attempt and process, in order, bounded, without secrets, and never in the way."""

import json

import pytest


@pytest.fixture
def told(probe):
    """Runs a module of tests and gives the entries in the order in which they were told."""

    def run(source, *args):
        probe.write({"test_x.py": source})
        ran = probe.run("-W", "ignore", *args)
        return ran, ran.all("ctx")

    return run


def fields(entry):
    return dict(entry.get("f", []))


def test_each_kind_is_told_with_its_test_and_phase(told):
    ran, entries = told("""
        import pytest
        @pytest.fixture
        def made(recall):
            recall.metadata(of="setup")
            yield
            recall.metadata(of="teardown")
        def test_a(made, recall):
            recall.llm_interaction("hi", "yo", provider="p", model="m", token_usage={"total_tokens": 4}, tool_calls=[{"n": 1}])
            recall.agent_log("hm", level="warning", turn=2)
            recall.validation("status", passed=False, got=500)
            recall.metadata(region="eu", none=None)
    """)
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert {entry["id"] for entry in entries} == {"test_x.py::test_a"}
    assert [(e["k"], e["when"], e.get("name"), fields(e)) for e in entries] == [
        ("metadata", "setup", None, {"of": "setup"}),
        (
            "llm_interaction",
            "call",
            None,
            {
                "prompt": "hi",
                "response": "yo",
                "provider": "p",
                "model": "m",
                "token_usage": '{"total_tokens":4}',
                "tool_calls": '[{"n":1}]',
            },
        ),
        ("agent_log", "call", "warning", {"message": "hm", "turn": "2"}),
        ("validation", "call", "status", {"passed": "False", "got": "500"}),
        ("metadata", "call", None, {"region": "eu", "none": "None"}),
        ("metadata", "teardown", None, {"of": "teardown"}),
    ]


def test_wider_fixtures_speak_for_their_scope(told):
    _, entries = told("""
        import pytest
        @pytest.fixture(scope="session", autouse=True)
        def world(recall):
            recall.metadata(at="session")
            yield
            recall.metadata(at="session's end")
        @pytest.fixture(scope="module", autouse=True)
        def module(recall): recall.metadata(at="module")
        class TestC:
            @pytest.fixture(scope="class", autouse=True)
            def klass(self, recall): recall.metadata(at="class")
            def test_a(self): pass
    """)
    assert [(fields(e)["at"], e.get("scope"), e["id"]) for e in entries] == [
        ("session", "session", ""),
        ("module", "module", "test_x.py"),
        ("class", "class", "test_x.py::TestC"),
        ("session's end", "session", ""),
    ]


def test_threads_tasks_and_forks_belong_to_the_test(told):
    ran, entries = told("""
        import asyncio, os, threading
        def test_a(recall):
            thread = threading.Thread(target=recall.agent_log, args=("thread",))
            thread.start(); thread.join()
            async def task():
                async with recall.step("in task"):
                    recall.agent_log("task")
            asyncio.run(task())
            child = os.fork()
            if not child:
                recall.agent_log("fork")
                os._exit(0)
            os.waitpid(child, 0)
            assert recall.test() == "test_x.py::test_a"
    """)
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert [fields(e).get("message") for e in entries] == ["thread", None, "task", "fork"]
    assert {e["id"] for e in entries} == {"test_x.py::test_a"}
    assert entries[2]["in"] == entries[1]["step"]
    assert entries[3]["pid"] != ran.one("session")["pid"]


def test_steps_nest_and_say_how_they_ended(told):
    ran, entries = told("""
        def test_a(recall):
            with recall.step("outer"):
                try:
                    with recall.step("inner"):
                        recall.metadata(x=1)
                        raise KeyError("x")
                except KeyError:
                    pass
            recall.metadata(x=2)
    """)
    outer, inner, inside, after = entries
    assert (inner["in"], inside["in"]) == (outer["step"], inner["step"])
    assert "in" not in outer
    assert "in" not in after
    ends = {end["step"]: end.get("error") for end in ran.all("stepped")}
    assert ends == {outer["step"]: None, inner["step"]: "KeyError"}


def test_what_was_told_before_a_crash_is_there(told):
    ran, entries = told("""
        import os
        def test_a(recall):
            with recall.step("never ends"):
                recall.metadata(x=1)
                os._exit(3)
    """)
    assert ran.rc == 3
    assert [e["k"] for e in entries] == ["step", "metadata"]


def test_secrets_are_taken_out_and_texts_are_bounded(told):
    _, entries = told("""
        def test_a(recall):
            recall.metadata(password="hunter2", note="Authorization: Bearer abcdef0123456789", key="k" * 100_000)
            recall.agent_log("sk-" + "a" * 40)
            for number in range(1_000):
                recall.metadata(number=number)
    """)
    text = json.dumps(entries)
    assert "hunter2" not in text
    assert "abcdef0123456789" not in text
    assert "aaaa" not in text
    assert len(fields(entries[0])["key"]) < 5_000
    assert len(entries) == 201
    assert "too much" in fields(entries[-1])["message"]


def test_secrets_are_known_by_what_they_are_called(told):
    _, entries = told("""
        import json
        def test_a(recall):
            recall.metadata(accessToken="hunter2", db_password=12345678, Authorization="hunter2", max_tokens=100, cookie_jar=True)
            recall.llm_interaction("q", tool_calls=[{"arguments": json.dumps({"password": "hunter2", "n": 1})}])
    """)
    assert "hunter2" not in json.dumps(entries)
    assert fields(entries[0]) == {
        "accessToken": "[redacted]",
        "db_password": "[redacted]",
        "Authorization": "[redacted]",
        "max_tokens": "100",
        "cookie_jar": "True",
    }
    assert json.loads(json.loads(fields(entries[1])["tool_calls"])[0]["arguments"])["n"] == 1


def test_secrets_in_names_are_taken_out_and_numbers_under_a_secret_s_name(told):
    token = (
        "ghp_" + "a1B2" * 9
    )  # put together here, so that no file of this repository looks as if it held one
    ran, entries = told(f"""
        def test_a(recall, record_property):
            with recall.step("login password=hunter2"): pass
            recall.validation("token {token}")
            recall.agent_log("m", level="pwd=hunter2")
            recall.metadata(**{{"{token}": 1}}, credentials={{"pin": 471147}}, inner={{"password": 471147}})
            recall.metadata(usage={{"total_tokens": 3, "cost": 0.5}}, tokens={{"in": 4, "out": 5}})
            record_property("api_token", "hunter2")
            record_property("{token}", "note: pwd=hunter2")
            record_property("api_key", 471147)
    """)
    text = json.dumps(ran.facts)
    assert [secret for secret in ("hunter2", token, "471147") if secret in text] == []
    step, validation, log, metadata, counts = entries
    assert (step["name"], validation["name"], log["name"]) == (
        "login password=[redacted]",
        "token [redacted]",
        "pwd=[redacted]",
    )
    assert fields(metadata) == {
        "[redacted]": "1",
        "credentials": "[redacted]",
        "inner": '{"password":[redacted]',
    }
    assert fields(counts) == {"usage": '{"total_tokens":3,"cost":0.5}', "tokens": '{"in":4,"out":5}'}
    assert ran.one("phase", when="teardown")["props"] == [
        ["api_token", "[redacted]"],
        ["[redacted]", "note: pwd=[redacted]"],
        ["api_key", "[redacted]"],
    ]


def test_a_value_that_json_has_not_takes_nothing_else_with_it(told):
    _, entries = told("""
        def test_a(recall):
            ring = {}; ring["ring"] = ring
            recall.metadata(kept="yes", ring=ring, big=10 ** 5000, wrong=ValueError("no"))
            recall.validation("grid", passed=False, cells={(0, 1): "x"}, got=[0.5, float("nan")])
    """)
    assert fields(entries[0]) == {
        "kept": "yes",
        "ring": "{'ring': {'ring': {'ring': {…}}}}",
        "big": "<int of 16610 bits>",
        "wrong": "\"ValueError('no')\"",
    }
    assert fields(entries[1]) == {"passed": "False", "cells": "{(0, 1): 'x'}", "got": "[0.5,NaN]"}


def test_a_context_that_outlives_its_test_tells_of_the_one_that_runs(told):
    """As an async runner of session scope has it: one task for all tests."""
    _, entries = told("""
        import contextvars, pytest
        @pytest.fixture(scope="session")
        def runner(): return contextvars.copy_context()
        def test_a(runner, recall): runner.run(recall.metadata, who="a")
        def test_b(runner, recall):
            runner.run(recall.metadata, who="b")
            assert runner.run(recall.test) == "test_x.py::test_b"
    """)
    assert [(e["id"][-1], e["when"], fields(e)) for e in entries] == [
        ("a", "call", {"who": "a"}),
        ("b", "call", {"who": "b"}),
    ]


def test_a_step_that_a_test_left_open_holds_nothing_of_the_next(told):
    _, entries = told("""
        import pytest
        @pytest.fixture(scope="module", autouse=True)
        def around(recall):
            with recall.step("module"): yield
        def test_a(recall):
            def paging():
                with recall.step("paging"): yield
            global left
            left = paging(); next(left)
            recall.metadata(of="a")
        def test_b(recall): recall.metadata(of="b")
    """)
    module, paging, of_a, of_b = entries
    assert [e.get("name") for e in entries] == ["module", "paging", None, None]
    assert (paging["in"], of_a["in"], of_b["in"]) == (module["step"], paging["step"], module["step"])


def test_subtests_are_part_of_their_phase(told, probe):
    probe.write(
        {
            "conftest.py": "import pytest\nif pytest.version_tuple < (9,): pytest_plugins = ['pytest_subtests']\n"
        }
    )
    ran, entries = told("""
        import time
        def test_a(subtests, recall):
            for number in range(2):
                with subtests.test(number=number): time.sleep(0.01)
            recall.metadata(after="subtests")
    """)
    if ran.verdicts() != {"test_a": ["passed"]}:
        pytest.skip("the target has no subtests")
    assert [e["when"] for e in entries] == ["call"]
    assert [fact["when"] for fact in ran.all("cost") if fact["when"] == "call"] == ["call"]


def test_no_value_and_no_use_of_it_can_fail_a_test(told):
    ran, _ = told("""
        import json, os, time
        class Evil:
            def __repr__(self): raise RuntimeError
            __str__ = __eq__ = __bool__ = __repr__
            __hash__ = None
        def test_a(recall, monkeypatch):
            loop = []; loop.append(loop)
            recall.metadata(evil=Evil(), loop=loop, nan=float("nan"), lone=chr(0xD800), big=10 ** 5000)
            recall.llm_interaction(Evil(), response=Evil())
            recall.agent_log(Evil(), level=Evil())
            recall.validation(Evil(), passed=True)
            with recall.step(Evil()): pass
            monkeypatch.setattr(json, "dumps", None); monkeypatch.setattr(os, "write", None)
            monkeypatch.setattr(time, "time", None)
            recall.metadata(still="there")
    """)
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert any(fields(e).get("still") for e in ran.all("ctx"))


def test_names_and_values_are_told_without_asking_them(told):
    """What they would say may end the test: `pytest.fail` is no Exception."""
    ran, entries = told("""
        import collections, enum, pytest
        def fails(*_): pytest.fail("x")
        class Name: __str__ = __repr__ = __bool__ = __len__ = fails
        class Level(str, enum.Enum):
            HIGH = "high"
            __str__ = __repr__ = __len__ = __bool__ = fails
        class Table(dict): items = keys = __iter__ = __len__ = __getitem__ = fails
        class Row(list): __iter__ = __len__ = __getitem__ = fails
        class Size(int): __repr__ = __str__ = __int__ = __index__ = fails
        Pair = collections.namedtuple("Pair", "left right")
        def test_a(recall):
            recall.validation(Name(), passed=True)
            recall.agent_log("m", level=Level.HIGH)
            with recall.step(7): pass
            recall.metadata(table=Table(row=Row([Level.HIGH, Size(3)]), name=Name()), pair=Pair(1, 2.5))
            recall.metadata(kept=collections.OrderedDict([(1, None), ("b", True)]), lost={Name: 1})
    """)
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert [entry.get("name") for entry in entries] == ["<test_x.Name>", "high", "7", None, None]
    assert fields(entries[3]) == {"table": '{"row":["high",3],"name":"<test_x.Name>"}', "pair": "[1,2.5]"}
    assert fields(entries[4]) == {"kept": '{"1":null,"b":true}', "lost": "{<class test_x.Name>: 1}"}


def test_more_fields_than_are_kept_are_counted(told):
    _, entries = told("""
        def test_a(recall): recall.metadata(**{"f%d" % number: number for number in range(40)})
    """)
    assert list(fields(entries[0]).items())[-2:] == [("f29", "29"), ("…", "10 more fields")]


def test_attempts_are_told_apart(told, needs):
    needs("pytest_rerunfailures")
    _, entries = told(
        """
        tries = []
        def test_a(recall):
            tries.append(1)
            recall.metadata(attempt=len(tries))
            assert len(tries) == 2
        """,
        "--reruns=2",
    )
    assert [(fields(e)["attempt"], e.get("n", 0)) for e in entries] == [("1", 0), ("2", 1)]


def test_a_slow_or_loud_phase_tells_what_it_cost_and_no_other(told):
    ran, _ = told("""
        import time
        def test_quick(): pass
        def test_loud(): print("x" * 99)
        def test_slow():
            time.sleep(0.02)
            room = bytearray(60_000_000)
            end = time.process_time() + 0.05
            while time.process_time() < end: pass
    """)
    costs = {fact["id"].partition("::")[2]: fact for fact in ran.all("cost", when="call")}
    took = {fact["id"].partition("::")[2]: fact.get("call", 0) for fact in ran.all("finish")}
    quick = {"test_quick"} if took["test_quick"] < 0.005 else set()  # a loaded machine may take longer
    assert costs.keys() == {"test_quick", "test_loud", "test_slow"} - quick
    assert costs["test_loud"]["out"] == 100
    assert 0.05 <= costs["test_slow"]["cpu"] < 5
    assert costs["test_slow"]["grown"] > 20_000


def test_json_metadata_lands_there_too(told, json_report_folder, probe):
    probe.write({"test_x.py": "def test_a(json_metadata): json_metadata['build'] = 7\n"})
    ran = probe.run(json_report=json_report_folder)
    assert [(e["name"], fields(e)) for e in ran.all("ctx")] == [("json_metadata", {"build": "7"})]
