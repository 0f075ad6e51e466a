"""Plain pytest, captured, then asked for at the doors: the command, and a server that was open all the while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = "def test_a(recall):\n    recall.metadata(build=7)\n    assert {}\n"


def plain(root: Path, *args: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "recall_probe.plugin",
        "-p",
        "no:cacheprovider",
        "--recall",
    ]
    # Of these tests' own session: with them it would be a nested one, which is not captured.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*command, *args], cwd=root, env=environ, check=False, capture_output=True)


@pytest.fixture
def ask(in_process):
    def call(root: Path, *args: str) -> Any:
        done = in_process(*args, "--json", "--project", str(root))
        return json.loads(done.stdout or done.stderr)

    return call


def test_ingest_takes_the_inbox_in_and_history_tells_of_it(make_project, ask) -> None:
    root = make_project({"test_x.py": SOURCE.format("1 == 2")})
    plain(root)

    answer = ask(root, "ingest")

    (kept,) = answer["ingested"]
    assert (kept["space"], kept["status"], kept["counts"]) == (
        "local",
        "failed",
        {"failed": 1, "collected": 1},
    )
    assert ask(root, "ingest") == {}
    (line,) = ask(root, "history", "runs", "--space", "local")["runs"]
    assert (line["run_id"], line["source"]) == (kept["run_id"], "local/plugin")
    assert ask(root, "history", "test", "test_x.py::test_a")["context"] == ["metadata: build=7"]


def test_a_test_that_only_a_cut_short_run_has_seen_tells_what_it_told(make_project, ask) -> None:
    root = make_project({"test_x.py": SOURCE.replace("assert {}", "import os; os._exit(3)")})
    plain(root)
    ask(root, "ingest")
    told = ask(root, "history", "test", "test_x.py::test_a")
    assert told["context"] == ["metadata: build=7"]
    assert (told["outcomes"], told["verdict"]) == ("C", "not_enough_evidence")


def test_a_plain_fix_of_a_plain_failure_is_learnt(make_project, ask) -> None:
    root = make_project(
        {"test_x.py": "import shop\ndef test_a(): assert shop.x == 2\n", "shop.py": "x = 1\n"}
    )
    for args in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *args], cwd=root, check=True, capture_output=True)
    plain(root)
    ask(root, "ingest")
    (root / "shop.py").write_text("x = 2\n")
    plain(root)
    ask(root, "ingest")

    (fix,) = ask(root, "history", "fixes", "test_x.py::test_a")["fixes"]

    assert "shop.py" in json.dumps(fix)
    assert "x = 2" in json.dumps(fix)


@pytest.mark.anyio
async def test_an_open_server_sees_what_was_run_beside_it(make_project, connect) -> None:
    root = make_project({"test_x.py": SOURCE.format("True")})
    async with connect(root) as agent:
        assert (await agent.call("test_history", view="runs")).get("runs", []) == []
        plain(root)
        (line,) = (await agent.call("test_history", view="runs"))["runs"]
        assert line["source"] == "local/plugin"


def test_a_run_of_ours_in_a_project_with_the_plugin_is_kept_once(make_project, ask) -> None:
    root = make_project({"test_x.py": SOURCE.format("True"), "pytest.ini": "[pytest]\nrecall = true\n"})

    assert ask(root, "run")["status"] == "passed"

    runs = ask(root, "history", "runs")["runs"]
    assert [run["source"] for run in runs] == ["local/cli"]


def test_the_inbox_of_a_ci_job_is_imported_once(make_project, tmp_path, ask) -> None:
    there = make_project({"test_x.py": SOURCE.format("True")}, name="there")
    here = make_project({"test_x.py": SOURCE.format("True")}, name="here")
    plain(there)
    archive = tmp_path / "artefact.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (there / ".pytest-recall" / "inbox").glob("*.jsonl"):
            file.write(path, f"inbox/{path.name}")

    (first,) = ask(here, "import", str(archive))["imported"]
    (known,) = ask(here, "import", str(archive))["known"]

    assert first["run_id"] == known["run_id"]
    assert (first["status"], first["format"]) == ("passed", "plugin")
