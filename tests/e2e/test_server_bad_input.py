"""Whatever an agent sends, it gets an error that teaches, and the server lives on."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

A = {"test_a.py": "def test_alpha(): ...\ndef test_beta(): ...", "sub/test_deep.py": "def test_gamma(): ..."}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def agent(tmp_path_factory, connect) -> AsyncIterator[Any]:
    """At the door of one server, for all that is sent wrongly."""
    root, home = tmp_path_factory.mktemp("project"), str(tmp_path_factory.mktemp("home"))
    (root / "sub").mkdir()
    for path, source in {"pytest.ini": "[pytest]\nmarkers =\n    slow: s\n", **A}.items():
        (root / path).write_text(source)
    environ = {"HOME": home, "XDG_STATE_HOME": home, "XDG_CACHE_HOME": home}
    environ |= {"PYTEST_RECALL_PYTHON": sys.executable, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    async with connect(root, **environ) as agent:
        yield agent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"project": "nowhere"}, ["No project at", "Pass the folder"]),
        ({"project": "test_a.py"}, ["is a file"]),
        ({"project": "/"}, ["outside the allowed roots", "--allow-root"]),
        ({"tests": ["test_a.py::test_alpah"]}, ["No test", "test_a.py::test_alpha"]),
        ({"tests": ["test_zzz.py"]}, ["test_zzz.py"]),
        ({"tests": ["--pdb"]}, ["--pdb"]),
        ({"tests": ["../elsewhere.py"]}, ["../elsewhere.py"]),
        ({"tests": "test_a.py"}, ["tests='test_a.py'", "list", "e.g. ['tests/test_cart.py::test_total']"]),
        ({"tests": ["test_deep.py"]}, ["Did you mean 'sub/test_deep.py'?"]),
        ({"tests": ["sub.test_deep"]}, ["Did you mean 'sub/test_deep.py'?"]),
        ({"tests": ["test_alpha"]}, ["keyword='test_alpha'"]),
        ({"args": ["-p", "evil"]}, ["-p"]),
        (
            {"keywrod": "x"},
            ["no argument 'keywrod'", "did you mean 'keyword'?", "run_tests takes project, tests,"],
        ),
        ({"timeout_s": "soon"}, ["timeout_s='soon'", "number"]),
        ({"detail": "all", "wait_s": -1}, ["'concise' or 'full'", "wait_s=-1"]),
        ({"run_id": "01890000-0000-7000-8000-000000000000"}, ["No run"]),
        ({"run_id": "../../etc/passwd"}, ["No run"]),
        ({"only": "failed"}, ["No test is recorded as failing"]),
    ],
)
async def test_run_tests_teaches(agent, arguments, words):
    message = await agent.error("run_tests", **arguments)
    assert all(word in message for word in words), message
    assert "pydantic" not in message
    assert (await agent.call("run_tests"))["status"] == "passed"


async def test_a_note_needs_to_be_about_something(agent):
    message = await agent.error("record_note", text="it is the fixture")
    assert "'about' is needed (test id, fingerprint" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keyword": "alpha and ("}, "Wrong expression passed to '-k': alpha and ("),
        ({"markers": "nosuch", "args": ["--strict-markers"]}, "'-m' expression"),
        ({"args": ["--maxfail=many"]}, "argument --maxfail: invalid int value: 'many'"),
    ],
)
async def test_what_pytest_refuses_is_told_in_its_own_words_alone(agent, arguments, words):
    answer = await agent.call("run_tests", **arguments)
    if arguments.keys() == {"keyword"}:
        found = await agent.call("discover_tests", **arguments)
        assert words in found["error"]
        assert found.keys().isdisjoint({"total", "files"})
    assert (answer["status"], answer["exit_code"]) == ("usage_error", 4)
    assert words in answer["error"]
    assert "output_tail" not in answer
    assert "correct keyword" in answer["next_step"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"view": "runs", "cursor": "bogus"}, ["Cursor", "next_cursor"]),
        ({"view": "test"}, ["needs 'test'"]),
        ({"view": "test", "test": "test_a.py::test_nothing"}, ["No run has seen"]),
        ({"view": "runs", "since": "yesterday"}, ["is no time", "'7d'"]),
        ({"view": "nothing"}, ["view"]),
        ({"limit": 0}, ["limit"]),
    ],
)
async def test_test_history_teaches(agent, arguments, words):
    message = await agent.error("test_history", **arguments)
    assert all(word in message for word in words), message


@pytest.fixture
def bare(tmp_path):
    """An environment without pytest."""
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


async def test_no_pytest_names_the_interpreter_and_the_remedy(make_project, connect, bare):
    async with connect(make_project(A), "--python", str(bare / "bin" / "python")) as agent:
        message = await agent.error("run_tests")
    assert "pytest" in message
    assert str(bare) in message
    assert "install" in message


async def test_a_missing_interpreter_is_named(make_project, connect):
    async with connect(make_project(A), "--python", "/no/such/python") as agent:
        assert "/no/such/python" in await agent.error("discover_tests")


async def test_a_server_started_at_home_or_in_the_root_asks_for_a_project(make_project, connect):
    project = make_project(A)
    for nowhere in (Path.home(), Path("/")):
        async with connect(nowhere) as agent:
            assert "--project FOLDER" in await agent.error("run_tests")
            assert "--allow-root" in await agent.error("discover_tests", project=str(project))
        async with connect(nowhere, "--allow-root", str(project.parent)) as agent:
            assert (await agent.call("discover_tests", project=str(project)))["total"] == 3
