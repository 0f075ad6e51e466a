"""A diff is read as git wrote it, and a test made weaker is seen."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.history.patch import FileDiff, is_config, is_test_file, read_diff, weakened

DIFF = """diff --git a/src/shop.py b/src/shop.py
index 1..2 100644
--- a/src/shop.py
+++ b/src/shop.py
@@ -1,3 +1,4 @@ def total():
 a
--- looks like a header
+++ looks like one too
+b
 c
\\ No newline at end of file
diff --git a/old.py b/old.py
deleted file mode 100644
--- a/old.py
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git "a/caf\\303\\251.py" "b/caf\\303\\251.py"
--- /dev/null
+++ "b/caf\\303\\251.py"
@@ -0,0 +1 @@
+y
"""


def test_files_and_lines_of_a_diff_are_read():
    shop, old, new = read_diff(DIFF)
    assert (shop.path, shop.removed, shop.added) == (
        "src/shop.py",
        ["-- looks like a header"],
        ["++ looks like one too", "b"],
    )
    assert shop.hunks.startswith("@@ -1,3 +1,4 @@")
    assert (old.path, old.deleted, old.removed) == ("old.py", True, ["x"])
    assert (new.path, new.old, new.added) == ("café.py", "", ["y"])


MODES = """diff --git a/tool x.sh b/tool x.sh
old mode 100644
new mode 100755
diff --git "a/caf\\303\\251.sh" "b/caf\\303\\251.sh"
old mode 100644
new mode 100755
index 1..2
--- "a/caf\\303\\251.sh"
+++ "b/caf\\303\\251.sh"
@@ -1 +1 @@
-a
+b
diff --git a/pkg/__init__.py b/pkg/__init__.py
new file mode 100644
index 0000000..e69de29
diff --git a/gone.py b/gone.py
deleted file mode 100644
index e69de29..0000000
diff --git a/logo.png b/logo.png
index 1..2 100644
Binary files a/logo.png and b/logo.png differ
"""


def test_changes_without_a_line_are_changes():
    mode = "old mode 100644\nnew mode 100755\n"
    assert [(one.path, one.deleted, one.hunks) for one in read_diff(MODES)] == [
        ("tool x.sh", False, mode),
        ("café.sh", False, f"{mode}@@ -1 +1 @@\n-a\n+b\n"),
        ("pkg/__init__.py", False, "new file mode 100644\n"),
        ("gone.py", True, "deleted file mode 100644\n"),
        ("logo.png", False, "Binary files a/logo.png and b/logo.png differ\n"),
    ]


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from([*DIFF.split("\n"), "@@ -9 +9999999999 @@"])).map("\n".join)
    )
)
def test_reading_a_diff_never_fails(text):
    assert all(one.path for one in read_diff(text))


@pytest.mark.parametrize(
    "unit",
    [
        "+++ b/a\n@@ -1 +1 @@\n",
        "diff --git a/a b/a\nold mode 1\n",
        "--- a\n",
        "@@ -1,9 +1,9 @@\n+ assert _is_\n",
        "_",
        "+assert ",
        "+  except:: ",
        "+ if a:\n+  assert b\n-assert b\n",
    ],
)
def test_hostile_diffs_take_linear_time(unit):
    begin = time.process_time()
    weakened(read_diff("--- a/tests/a\n+++ b/tests/a\n@@ -1,99999 +1,99999 @@\n" + unit * 200_000))
    assert time.process_time() - begin < 3.0


def reasons(removed="", added="", path="tests/test_a.py") -> tuple[str, ...]:
    minus, plus = ([line for line in side.split("\n") if line] for side in (removed, added))
    body = [f"-{line}" for line in minus] + [f"+{line}" for line in plus]
    head = [f"--- a/{path}", f"+++ b/{path}", f"@@ -1,{len(minus)} +1,{len(plus)} @@"]
    return weakened(read_diff("\n".join(head + body)))


@pytest.mark.parametrize(
    ("removed", "added", "reason"),
    [
        ("    assert f() == 3", "", "assertion removed"),
        ("    assert f() == 3", "    # assert f() == 3", "assertion removed"),
        ("    assert f() == 3", "    assert f()", "assertion weakened"),
        ("    assert f() == 3", "    assert f() is not None", "assertion weakened"),
        ("    self.assertEqual(f(), 3)", "    self.assertTrue(f())", "assertion weakened"),
        ("    with pytest.raises(KeyError):", "    with pytest.raises(Exception):", "assertion weakened"),
        ("    assert f() > 3", "    assert True", "assertion emptied"),
        ("", "@pytest.mark.skip", "skip or xfail added"),
        ("", "    @pytest.mark.xfail(reason='x')", "skip or xfail added"),
        ("", "    pytest.skip('later')", "skip or xfail added"),
        ("def test_a():\n    assert 1 == f()", "", "test deleted: test_a"),
        ("class TestA:", "", "test deleted: TestA"),
        ("", "    return", "early end added"),
        ("", "    return None  # for now", "early end added"),
        ("", "    pass", "early end added"),
        ("", "    if False:", "early end added"),
        (
            "    assert f() == 3",
            "    try: assert f() == 3\n    except AssertionError: pass",
            "early end added",
        ),
        ("", "    except (ValueError, AssertionError) as e: ...  # for now", "early end added"),
        ("", "    except: return", "early end added"),
        (
            "    x = f()\n    assert x == 3",
            "    x = f()\n    if x == 3:\n        y = 1\n        assert x == 3",
            "assertion made conditional",
        ),
        (
            "    self.assertEqual(f(), 3)",
            "    if READY:\n        with case():\n            self.assertEqual(f(), 3)\n    g()",
            "assertion made conditional",
        ),
    ],
)
def test_weaker_test_is_seen(removed, added, reason):
    assert f"{reason} (tests/test_a.py)" in reasons(removed, added)


@pytest.mark.parametrize(
    ("removed", "added"),
    [
        ("    assert f() == 3", "    assert f() == 4"),
        ("    assert f()", "    assert f() == 4"),
        ("def test_a():", "def test_renamed():"),
        ("@pytest.mark.skip", ""),
        ("", "def test_more():\n    assert f() == 5"),
        ("x = 1", "x = 2"),
        ("    return", ""),
        ("", "    return found"),
        ("    except KeyError: pass", "    except (KeyError, IndexError): pass"),
        ("    except KeyError:\n        pass", "    except KeyError: pass"),
        ("", "    except KeyError: raise"),
        ("", "    except KeyError as e: found = {1: e}"),
        ("", "def drop():\n    try: unlink(a)\n    except OSError: pass"),
        ("    assert f() == 3", "    with freeze():\n        assert f() == 3"),
        ("    assert f(a) == 3", "    for a in range(3):\n        assert f(a) == 3"),
        (
            "    assert f() == 3",
            "    if NEW:\n        assert f() == 3\n    else:\n        assert f() == 4",
        ),
        (
            "def test_a():\n    if NEW:\n        assert f() == 3",
            "class TestA:\n    def test_a(self):\n        if NEW:\n            assert f() == 3",
        ),
        ("    if OLD:\n        assert f() == 3", "    if NEW:\n        assert f() == 3"),
        ("    for a in b:\n        assert a", "    if b:\n        c()\n    with d:\n        assert a"),
        ("    assert f() == 3", "    if b:\n        c()\n    assert f() == 3"),
        (
            "    assert f(1)\n    assert f(2)",
            "    check(1)\n    check(2)\ndef check(a):\n    if a:\n        assert f(a)\n    assert a",
        ),
        ("", "class Fake:\n    pass\ndef help():\n    a = 1\n    return\nx = 2"),
    ],
)
def test_other_changes_of_a_test_are_not_called_weaker(removed, added):
    assert reasons(removed, added) == ()


def test_assertion_in_the_product_is_not_a_test():
    assert reasons("    assert x == 3", "", path="src/shop.py") == ()


def test_deselecting_by_configuration_is_seen():
    assert reasons("", "addopts = '--deselect tests/test_a.py'", path="pyproject.toml") == (
        "tests deselected (pyproject.toml)",
    )


def test_deleted_test_file_is_seen():
    diff = "--- a/tests/test_a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-assert f() == 3\n"
    assert weakened(read_diff(diff)) == ("test file deleted (tests/test_a.py)",)


def edited(**files: tuple[str, str]) -> list[FileDiff]:
    """Of each file (`tests/<name>.py`), lines removed and lines added."""
    return [
        FileDiff(
            path=f"tests/{name}.py",
            removed=before.splitlines(),
            added=after.splitlines(),
            deleted=name == "gone",
        )
        for name, (before, after) in files.items()
    ]


OTHER = "def test_other():\n    assert 1 == 2"


@pytest.mark.parametrize(
    "diff",
    [
        edited(test_b=(OTHER, "")),  # nothing that this test uses
        edited(test_a=(OTHER, ""), test_b=("", OTHER)),  # moved
        edited(gone=(OTHER, ""), test_b=("", OTHER)),
    ],
)
def test_what_was_done_to_other_tests_does_not_make_this_one_weaker(diff):
    assert weakened(diff, "tests/test_a.py::test_this", reached=["core.py", "tests/gone.py"]) == ()


@pytest.mark.parametrize("name", ["test_a", "conftest", "checks"])
def test_what_a_test_uses_can_make_it_weaker(name):
    diff = edited(**{name: ("    assert f() == 3", "    assert f()")})
    [reason] = weakened(diff, "tests/test_a.py::test_this", reached=["tests/checks.py"])
    assert reason == f"assertion weakened (tests/{name}.py)"


def test_early_return_of_a_helper_ends_no_test():
    diff = edited(conftest=("", "    return"))
    assert weakened(diff, "tests/test_a.py::test_this") == ()


def test_roles_of_files():
    assert [
        path
        for path in ("a/test_b.py", "b_test.py", "tests/data.json", "conftest.py", "attest.py")
        if is_test_file(path)
    ] == [
        "a/test_b.py",
        "b_test.py",
        "tests/data.json",
        "conftest.py",
    ]
    assert [
        path
        for path in ("pyproject.toml", "a/tox.ini", "uv.lock", "dev-requirements.txt", "config.py")
        if is_config(path)
    ] == [
        "pyproject.toml",
        "a/tox.ini",
        "uv.lock",
        "dev-requirements.txt",
    ]
