"""Why a test failed: type, message, frames, cause and locals, whatever the kind of failure."""

import json
from types import SimpleNamespace

import pytest

from recall_probe.failure import Describer

PROJECT = {
    "shop/__init__.py": "",
    "shop/cart.py": """
        class CartError(Exception):
            pass

        class Cart:
            def __repr__(self):
                raise SystemExit("a __repr__ was called")

        def parse(text):
            try:
                return int(text)
            except ValueError as error:
                raise CartError("no price: " + text) from error

        def total(prices):
            cart = Cart()
            count = len(prices)
            return sum(parse(price) for price in prices)
        """,
    "test_fail.py": """
        import unittest

        import pytest

        from shop.cart import Cart, CartError, total

        def test_assert():
            numbers = {"a": [1, 2, 3]}
            assert numbers == {"a": [1, 2]}

        def test_chained():
            total(["1", "two"])

        def test_bare():
            raise CartError

        def test_deep():
            def down(n):
                return down(n - 1) if n else 1 / 0
            down(100)

        def check(value):
            __tracebackhide__ = True
            assert value, "not " + "good"

        def test_hidden_helper():
            check(0)

        def test_fail_plain():
            pytest.fail("told so", pytrace=False)

        def test_did_not_raise():
            with pytest.raises(ValueError):
                pass

        def test_unknown_fixture(recrd_property):
            pass

        class TestUnit(unittest.TestCase):
            def test_equal(self):
                self.assertEqual(1, 2)

        class Rude(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        def test_rude():
            raise Rude()

        def test_surrogate():
            raise ValueError("bad \\udce4 byte")

        def test_long():
            raise ValueError("x" * 100000)

        def test_locals():
            number, text, items = 3, "a" * 500, list(range(100))
            cart, nested, huge = Cart(), {"k": [Cart()]}, 10 ** 5000
            assert number == 4
        """,
}


@pytest.fixture(scope="module")
def ran(shared_probe):
    shared_probe.write(PROJECT)
    return shared_probe.run(locals=True)


def places(failure):
    return [(frame[0].rpartition("/")[2], frame[2]) for frame in failure["frames"]]


def test_assert_has_pytests_message_and_the_failing_line(ran):
    failure = ran.failure("::test_assert")
    assert failure["type"] == "AssertionError"
    assert "assert {'a': [1, 2, 3]} == {'a': [1, 2]}" in failure["message"].splitlines()[0]
    assert "Differing items" in failure["message"]
    assert failure["frames"][-1][1:] == [10, "test_assert", 'assert numbers == {"a": [1, 2]}']
    assert ">       assert numbers" in failure["text"]


def test_chain_gives_the_last_exception_and_the_first_cause(ran):
    failure = ran.failure("::test_chained")
    assert failure["type"] == "shop.cart.CartError"
    assert failure["message"] == "shop.cart.CartError: no price: two"
    assert failure["cause"] == "ValueError: invalid literal for int() with base 10: 'two'"
    assert places(failure)[0] == ("test_fail.py", "test_chained")
    assert places(failure)[-1] == ("cart.py", "parse")
    assert failure["frames"][-1][3] == 'raise CartError("no price: " + text) from error'


def test_exception_without_words_has_its_type(ran):
    assert ran.failure("::test_bare")["message"] == "shop.cart.CartError"


def test_deep_recursion_keeps_both_ends(ran):
    frames = ran.failure("::test_deep")["frames"]
    assert len(frames) == 40
    assert frames[0][2] == "test_deep"
    assert "1 / 0" in frames[-1][3]


def test_hidden_frames_stay_hidden(ran):
    failure = ran.failure("::test_hidden_helper")
    assert places(failure) == [("test_fail.py", "test_hidden_helper")]
    assert "not good" in failure["message"]


def test_fail_without_traceback_still_has_a_frame(ran):
    failure = ran.failure("::test_fail_plain")
    assert (failure["type"], failure["message"]) == ("Failed", "Failed: told so")
    assert places(failure) == [("test_fail.py", "test_fail_plain")]


def test_missing_exception_is_a_failure_of_the_test(ran):
    failure = ran.failure("::test_did_not_raise")
    assert failure["type"] == "Failed"
    assert "DID NOT RAISE" in failure["message"]
    assert places(failure) == [("test_fail.py", "test_did_not_raise")]


def test_unknown_fixture_names_the_nearest(ran):
    failure = ran.failure("::test_unknown_fixture", when="setup")
    assert failure["type"] == "_pytest.fixtures.FixtureLookupError"
    assert failure["message"].startswith("fixture 'recrd_property' not found; nearest: record_property")
    assert places(failure) == [("test_fail.py", "test_unknown_fixture")]
    assert "locals" not in failure
    assert "cause" not in failure


def test_unittest_hides_its_own_frames(ran):
    failure = ran.failure("::test_equal")
    assert failure["message"].startswith("AssertionError: 1 != 2")
    assert places(failure) == [("test_fail.py", "test_equal")]


def test_exception_whose_str_raises_is_told(ran):
    failure = ran.failure("::test_rude")
    assert failure["type"] == "test_fail.Rude"
    assert places(failure) == [("test_fail.py", "test_rude")]


def test_lone_surrogates_become_readable_text(ran):
    failure = ran.failure("::test_surrogate")
    failure["message"].encode("utf-8")
    assert failure["message"] == "ValueError: bad \\udce4 byte"


def test_texts_are_bounded_and_keep_both_ends(ran):
    failure = ran.failure("::test_long")
    for text in (failure["message"], failure["text"]):
        assert len(text) <= 20000
        assert "characters cut" in text
    assert failure["message"].startswith("ValueError: xxx")


def test_locals_are_bounded_and_run_no_code_of_the_project(ran):
    values = dict(ran.failure("::test_locals")["locals"])
    assert values["number"] == "3"
    assert values["cart"] == "<shop.cart.Cart>"
    assert values["nested"] == "{'k': [<shop.cart.Cart>]}"
    assert values["items"] == "[0, 1, 2, 3, 4, 5, … 94 more]"
    assert values["huge"].startswith("<int of 166")
    assert len(values["text"]) == 200


def test_locals_are_those_of_the_innermost_project_frame(ran):
    assert dict(ran.failure("::test_chained")["locals"])["text"] == "'two'"


def test_locals_stay_where_they_are_unless_asked_for(probe):
    probe.write({"test_x.py": "def test_a():\n    secret = 1\n    assert 0\n"})
    assert "locals" not in probe.run().failure("test_a")


@pytest.mark.parametrize("style", ["no", "line", "native", "short", "long", "auto"])
def test_traceback_style_of_the_project_changes_nothing(probe, style):
    probe.write(PROJECT)
    failure = probe.run(f"--tb={style}", "test_fail.py::test_chained").failure("::test_chained")
    assert failure["message"] == "shop.cart.CartError: no price: two"
    assert places(failure)[-1] == ("cart.py", "parse")


def test_exception_group_names_its_leaves(probe, target):
    if target["python"] < [3, 11]:
        pytest.skip("no exception groups before Python 3.11")
    probe.write(
        {
            "test_x.py": """
            def test_group():
                raise ExceptionGroup("two things", [ValueError("one"), ExceptionGroup("in", [KeyError("two")])])
            """
        }
    )
    failure = probe.run().failure("test_group")
    assert failure["type"] == "ExceptionGroup"
    lines = [line.strip() for line in failure["message"].splitlines()]
    assert "ValueError: one" in lines
    assert "KeyError: 'two'" in lines
    assert places(failure) == [("test_x.py", "test_group")]


def test_doctests_say_what_they_expected(probe):
    probe.write(
        {
            "maths.py": '''
                def add(a, b):
                    """Add.

                    >>> add(1, 2)
                    4
                    """
                    return a + b

                def div(a, b):
                    """
                    >>> div(1, 0)
                    1
                    """
                    return a / b
                '''
        }
    )
    ran = probe.run("--doctest-modules", "maths.py")
    wrong, raised = ran.failure("maths.add"), ran.failure("maths.div")
    assert wrong["type"] == "doctest.DocTestFailure"
    assert wrong["message"].splitlines() == ["Expected:", "    4", "Got:", "    3"]
    assert wrong["frames"][0][1:] == [5, "maths.add", "add(1, 2)"]
    assert wrong["frames"][0][0].endswith("maths.py")
    assert (raised["type"], raised["message"]) == ("ZeroDivisionError", "ZeroDivisionError: division by zero")
    assert raised["frames"][0][1:] == [12, "maths.div", "div(1, 0)"]


def collection_failure(probe, files):
    probe.write({**files, "test_ok.py": "def test_ok(): pass\n"})
    ran = probe.run("--continue-on-collection-errors")
    assert ran.verdicts() == {"test_ok": ["passed"]}
    return ran.one("collect", outcome="failed")["failure"]


def test_missing_module_names_the_import_and_its_line(probe):
    failure = collection_failure(probe, {"test_x.py": "import os\nimport no_such_module\n"})
    assert failure["type"] == "ModuleNotFoundError"
    assert failure["message"] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert failure["frames"][-1][0].endswith("test_x.py")
    assert failure["frames"][-1][1:] == [2, "<module>", "import no_such_module"]


def test_syntax_error_has_file_and_line(probe):
    failure = collection_failure(
        probe, {"lib.py": "x = 1\ndef broken(:\n    pass\n", "test_x.py": "import lib\n"}
    )
    assert failure["type"] == "SyntaxError"
    assert failure["message"].startswith("SyntaxError: invalid syntax")
    assert failure["frames"][-1][0].endswith("lib.py")
    assert failure["frames"][-1][1:] == [2, "", "def broken(:"]
    assert failure["frames"][0][0].endswith("test_x.py")


def test_error_while_importing_has_the_frames_of_the_project(probe):
    failure = collection_failure(probe, {"test_x.py": "def prepare():\n    return {}['key']\nprepare()\n"})
    assert (failure["type"], failure["message"]) == ("KeyError", "KeyError: 'key'")
    assert [frame[2] for frame in failure["frames"]] == ["<module>", "prepare"]


def test_broken_conftest_of_a_folder_is_told(probe):
    probe.write(
        {
            "sub/conftest.py": "import no_such_module\n",
            "sub/test_y.py": "def test_y(): pass\n",
            "test_ok.py": "def test_ok(): pass\n",
        }
    )
    ran = probe.run()
    told = ran.json("startup.json") or ran.one("collect", outcome="failed")["failure"]
    assert "no_such_module" in str(told)
    assert ran.rc in (2, 4)


def test_broken_root_conftest_is_told_before_any_session(probe):
    probe.write({"conftest.py": "import no_such_module\n", "test_ok.py": "def test_ok(): pass\n"})
    ran = probe.run()
    told = ran.json("startup.json")
    assert ran.facts == []
    assert ran.rc == 4
    assert told["type"] == "ConftestImportFailure"
    assert told["path"].endswith("conftest.py")
    assert "No module named 'no_such_module'" in told["cause"]


def test_path_that_does_not_exist_is_a_usage_error_with_its_name(probe):
    ran = probe.run("no_such_file.py")
    assert ran.rc == 4
    assert ran.json("startup.json")["type"] == "UsageError"
    assert "no_such_file.py" in ran.json("startup.json")["message"]


def test_plugin_that_does_not_exist_is_told(probe):
    ran = probe.run("-p", "no_such_plugin")
    assert "no_such_plugin" in ran.output
    assert ran.facts == []
    assert ran.rc not in (0, 5)


def test_unknown_option_ends_before_any_session(probe):
    ran = probe.run("--no-such-option")
    assert (ran.rc, ran.facts) == (4, [])
    assert "--no-such-option" in ran.output


def test_failures_beyond_all_measure_tell_little_each():
    describer = Describer("/project", 20_000, False)
    carried = {
        "type": "E",
        "message": "m" * 20_000,
        "frames": [["/project/a.py", n, "f", "x"] for n in range(40)],
    }
    report = SimpleNamespace(recall_failure=carried, longreprtext="t" * 20_000)
    told = [describer.of_report(report) for _ in range(4_000)]
    assert (len(told[0]["text"]), len(told[0]["message"]), len(told[0]["frames"])) == (20_000, 20_000, 40)
    assert ("text" in told[-1], len(told[-1]["message"]), told[-1]["frames"][-1][1]) == (False, 500, 39)
    assert len(describer.section("o" * 20_000)) == 0
    assert sum(len(json.dumps(one)) for one in told) < 80 * 2**20
