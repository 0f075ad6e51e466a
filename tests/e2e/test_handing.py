"""`logs` and `bundle`: what is kept of a run is there to read and to hand on, whole, bounded and without secrets."""

import argparse
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_recall import cli
from pytest_recall.cli.door import Commands

SECRET = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
SHOP = {
    ".gitignore": "__pycache__\n.pytest-recall\n",
    "shop.py": "RATES = {'EUR': 1.0, 'USD': 1.1}\n",
    "test_shop.py": f"""
        import logging
        import shop

        def test_dollars():
            logging.getLogger("shop").warning("low on hats, password=hunter2secret")
            print("seen </script> \\x1b[31mred {SECRET}")
            token = "{SECRET}"
            assert shop.RATES["USD"] == 1.1, "token={SECRET}"

        def test_euros(): ...
    """,
}


def git(root: Path, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "-C", root, *words], env={**os.environ, **who}, check=True, capture_output=True)


@pytest.fixture(scope="module")
def recall(in_process):
    return in_process


@pytest.fixture(scope="module")
def shop(tmp_path_factory, recall) -> Iterator[Path]:
    """A project with a passing run, and a failing one of an uncommitted change; only read from here on."""
    root = tmp_path_factory.mktemp("handing") / "shop"
    root.mkdir()
    for path, text in {"pytest.ini": "[pytest]\n", **SHOP}.items():
        (root / path).write_text(textwrap.dedent(text))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(root.parent / "state"))
        patch.setenv("PYTEST_RECALL_PYTHON", sys.executable)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        assert recall("run", cwd=root).returncode == 0
        (root / "shop.py").write_text("RATES = {'EUR': 1.0, 'USD': 1.2}\n")
        assert recall("run", cwd=root).returncode == 1
        yield root


@pytest.fixture(scope="module")
def first(shop, recall) -> str:
    """The id of the passing run."""
    return json.loads(recall("history", "runs", "--json", cwd=shop).stdout)["runs"][1]["run_id"]


def members(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = archive.getmembers()
        assert all(
            entry.isfile() and entry.mode == 0o644 and entry.uid == entry.gid == 0 for entry in entries
        )
        [folder] = {entry.name.partition("/")[0] for entry in entries}
        assert not [entry.name for entry in entries if ".." in entry.name or entry.name.startswith("/")]
        return {
            entry.name.removeprefix(f"{folder}/"): archive.extractfile(entry).read().decode()
            for entry in entries
        }


def test_a_bundle_holds_what_a_reviewer_needs_and_no_secret(shop, tmp_path, recall):
    done = recall("bundle", "--json", "-o", str(tmp_path / "review.tar.gz"), cwd=shop)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    data = (tmp_path / "review.tar.gz").read_bytes()
    found = members(data)
    manifest = json.loads(found.pop("MANIFEST.json"))
    assert {one["name"]: one["sha256"] for one in manifest} == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in found.items()
    }
    assert answer["members"] == {one["name"]: one["bytes"] for one in manifest}
    assert [one.partition(":")[0] for one in answer["missing"]] == ["coverage.json"]

    whole = "".join(found.values())
    assert SECRET not in whole
    assert "hunter2secret" not in whole
    assert "[redacted]" in found["output.txt"]

    assert "test_shop.py::test_dollars" in found["report.md"]
    assert json.loads(found["answer.json"])["status"] == "failed"
    run = json.loads(found["run.json"])
    assert run["id"] == answer["run_id"]
    assert {test["id"] for test in run["tests"]} == {"test_shop.py::test_dollars", "test_shop.py::test_euros"}
    assert "low on hats" in found["log.txt"]
    assert json.loads(found["report.json"])["summary"]["failed"] == 1
    assert "pytest" in {
        package.rpartition("-")[0] for package in json.loads(found["environment.json"])["packages"]
    }
    for diff in ("uncommitted.diff", "since-last-run.diff"):
        assert "+RATES = {'EUR': 1.0, 'USD': 1.2}" in found[diff]
    [cause] = json.loads(found["history.json"])["causes"]
    assert cause["tests"] == ["test_shop.py::test_dollars"]
    assert cause["hints"][0]["text"].startswith("Look first at shop.py")
    assert "failed" in found["events.txt"]
    assert answer["run_id"] in found["server.log"]


def test_the_same_run_is_packed_into_the_same_bytes(shop, first, tmp_path, recall):
    packed = []
    for name in ("one.tgz", "two.tgz"):
        assert recall("bundle", first, "-o", str(tmp_path / name), cwd=shop).returncode == 0
        found = members((tmp_path / name).read_bytes())
        found.pop("server.log"), found.pop("MANIFEST.json")  # our log goes on
        packed.append(found)
    assert packed[0] == packed[1]
    assert first in packed[0]["run.json"]


def taking_an_output() -> list[str]:
    """The commands that write a file where they are told to."""
    parsers = argparse.ArgumentParser().add_subparsers()
    for family in cli.FAMILIES:
        family.add(Commands(parsers))
    return [name for name, one in parsers.choices.items() if "--output" in one.format_help()]


@pytest.mark.parametrize("command", taking_an_output())
def test_a_folder_or_a_device_is_no_output_and_nothing_else_is_written(shop, tmp_path, command, recall):
    before = sorted(shop.iterdir())
    for output in (str(tmp_path), "/dev/null"):
        done = recall(command, "-o", output, cwd=shop)
        assert done.returncode == 4, (output, done.stdout, done.stderr)
        assert done.stderr.startswith("pytest-recall: ")
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert sorted(shop.iterdir()) == before


def test_without_a_name_a_bundle_is_named_for_its_run_in_this_folder(shop, first, tmp_path, recall):
    done = recall("bundle", first, "--project", str(shop), cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"pytest-recall-{first}.tar.gz"]
    assert f"run {first} is in pytest-recall-{first}.tar.gz" in done.stdout
    assert "not there: coverage.json" in done.stdout


def test_logs_show_what_a_run_printed_and_logged_and_how_it_went(shop, first, recall):
    shown = recall("logs", cwd=shop)
    assert "FAILED test_shop.py::test_dollars" in shown.stdout
    assert "low on hats" in shown.stdout
    assert "\x1b" not in shown.stdout
    answer = json.loads(recall("logs", "--json", cwd=shop).stdout)
    assert "WARNING  shop:test_shop.py:6 low on hats" in answer["log"]
    assert "FAILED test_shop.py::test_dollars" in answer["output"]

    lines = recall("logs", first, "--events", cwd=shop).stdout.splitlines()
    assert [(line.split()[:2], line.split()[-1]) for line in lines[:2]] == [
        (["0", "passed"], "test_shop.py::test_dollars"),
        (["1", "passed"], "test_shop.py::test_euros"),
    ]
    assert "Finished(exit_code=0)" in lines[-1]

    ours = recall("logs", "--server", cwd=shop).stdout
    assert f"run {first}: passed" in ours
    assert "hunter2secret" not in ours


def test_what_is_missing_is_said_with_what_to_do(shop, make_project, recall):
    empty = make_project({"test_a.py": "def test_a(): ...\n"})
    for words, root, told in (
        (("logs",), empty, "No run is kept yet. `pytest-recall run` makes one."),
        (("bundle",), empty, "No run is kept yet. `pytest-recall run` makes one."),
        (("bundle", "no-such-run"), shop, "No run 'no-such-run'"),
        (("logs", "no-such-run", "--server"), shop, "our own log"),
    ):
        done = recall(*words, cwd=root)
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        assert told in done.stderr
        assert not list(root.glob("*.tar.gz"))


def test_workers_and_a_log_file_of_the_project_are_both_respected(make_project, monkeypatch, recall):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist.plugin")
    root = make_project(
        {
            "test_a.py": "import logging\ndef test_a(): logging.warning('from a')\n",
            "test_b.py": "import logging\ndef test_b(): logging.warning('from b')\n",
        }
    )
    assert recall("run", "-n2", "-q", cwd=root).returncode == 0
    log = json.loads(recall("logs", "--json", cwd=root).stdout)["log"]
    assert "from a" in log
    assert "from b" in log
    assert "[gw" in log
    (root / "pytest.ini").write_text("[pytest]\nlog_file = own.log\n")
    assert recall("run", "-q", cwd=root).returncode == 0
    assert "from a" in (root / "own.log").read_text()
    assert "log" not in json.loads(recall("logs", "--json", cwd=root).stdout)
