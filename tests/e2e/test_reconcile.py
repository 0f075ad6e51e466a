"""Tests that are gone are told so, renamed ones keep their past; a store is moved whole: at the shell."""

from __future__ import annotations

import json
import subprocess

import pytest

OLD = "def test_total():\n    total = sum([1, 2])\n    assert total == 4, 'rounds'\n"
GONE = "def test_gone():\n    assert 'gone' == 'here'\n"


@pytest.fixture
def recall(in_process):
    def call(root, *words: str) -> dict:
        done = in_process(*words, "--json", "--project", str(root))
        assert done.returncode in (0, 1, 2), done.stderr + done.stdout
        return json.loads(done.stdout)

    return call


def git(root, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=root, check=True)


def test_renamed_test_keeps_its_past_and_a_gone_one_fails_no_more(make_project, tmp_path, recall):
    root = make_project({"tests/test_cart.py": OLD + GONE, ".gitignore": ".pytest-recall/\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    assert recall(root, "run")["status"] == "failed"
    (root / "tests" / "test_cart.py").unlink()
    (root / "tests" / "test_sums.py").write_text(
        "def test_new(): ...\n\n" + OLD.replace("test_total", "test_sum_of_all")
    )
    told = recall(root, "store", "reconcile")
    assert told["done"] == "1 tests are gone, 1 have another name now"
    known = recall(root, "history", "test", "tests/test_sums.py::test_sum_of_all")
    assert (known["outcomes"], known.get("gone", False)) == ("F", False)
    assert recall(root, "history", "test", "tests/test_cart.py::test_gone")["gone"]
    assert [one["id"] for one in recall(root, "stats")["failing"]] == ["tests/test_sums.py::test_sum_of_all"]
    rerun = recall(root, "run", "--only", "failed")
    assert rerun["counts"]["failed"] == rerun["counts"]["collected"] == 1

    file = tmp_path / "store.tar"
    assert recall(root, "store", "export", str(file))["done"].startswith("2 runs were written")
    other = make_project({"tests/test_cart.py": OLD}, name="other")
    assert (
        recall(other, "store", "import", str(file))["done"]
        == "2 runs and 2 lessons were taken in; 0 were known"
    )
    assert len(recall(other, "history", "runs")["runs"]) == 2


def test_renamed_test_that_never_failed_under_its_new_name_has_ceased_to_fail(
    make_project, recall, in_process, monkeypatch
):
    test = "import os\ndef test_old():\n    assert os.environ.get('BAD') != '1', 'bad today'\n"
    root = make_project({"tests/test_a.py": test, ".gitignore": ".pytest-recall/\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    assert recall(root, "run")["status"] == "passed"
    with monkeypatch.context() as patch:
        patch.setenv("BAD", "1")
        assert recall(root, "run")["status"] == "failed"
    (root / "tests" / "test_a.py").write_text(test.replace("test_old", "test_new"))
    assert recall(root, "run")["status"] == "passed"
    assert recall(root, "store", "reconcile")["done"] == "0 tests are gone, 1 have another name now"
    for _ in "before and after", "a rebuild":
        assert "failing" not in recall(root, "stats")
        assert recall(root, "history", "test", "tests/test_a.py::test_new")["outcomes"] == ".F."
        assert in_process("run", "--only", "failed", "--project", str(root)).returncode == 5
        recall(root, "store", "rebuild")
    gone = recall(root, "history", "test", "tests/test_a.py::test_old")
    assert gone["gone"]
    assert "action" not in gone
    assert gone["remarks"] == ["It is gone from the suite: it is tests/test_a.py::test_new now."]
    shown = in_process("history", "test", "tests/test_a.py::test_old", "--project", str(root)).stdout
    assert "gone from the suite" in shown
    assert "--only failed" not in shown


def test_what_failed_last_is_rerun_without_the_tests_that_are_gone(make_project, recall, in_process):
    tests = "def test_a(): assert 0\ndef test_b(): assert 0\n"
    root = make_project({"tests/test_m.py": tests, "tests/test_other.py": "def test_c(): assert 0\n"})
    recall(root, "run")
    (root / "tests" / "test_m.py").write_text(tests.replace("test_a", "test_z"))
    (root / "tests" / "test_other.py").write_text("def test_c(: assert 0\n")
    again = recall(root, "run", "--only", "failed")
    assert (again["status"], again["counts"]["collected"]) == ("collection_failed", 1), (
        "the broken file is told of"
    )
    (root / "tests" / "test_other.py").write_text("def test_c(): ...\n")
    again = recall(root, "run", "--only", "failed")
    assert again["counts"] == {"passed": 1, "failed": 1, "collected": 2}
    [said] = [warning for warning in again["warnings"] if "test_a" in warning]
    assert "1 tests that failed last are not there" in said
    assert [run["status"] for run in recall(root, "history", "runs")["runs"]] == [
        "failed",
        "collection_failed",
        "failed",
    ], "what pytest refused on the way is no run of its own"

    (root / "tests" / "test_m.py").write_text("def test_fine(): ...\n")
    refused = in_process("run", "--only", "failed", "--project", str(root))
    assert (refused.returncode, "No other failed last" in refused.stderr) == (5, True)
    named = in_process("run", "tests/test_m.py::test_b", "--project", str(root))
    assert (named.returncode, "No test 'tests/test_m.py::test_b'" in named.stderr) == (4, True)
