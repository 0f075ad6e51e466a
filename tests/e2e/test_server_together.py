"""Many calls, many servers, many machines: each gets its own answer, and all share one memory."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

pytestmark = pytest.mark.anyio

A = {"test_a.py": "def test_one(): ...\ndef test_two(): assert 1 == 2\n"}


async def test_ten_calls_at_once_are_all_answered(make_project, connect):
    project = make_project({f"test_{n}.py": f"def test_{n}(): ..." for n in range(10)})
    answers: dict[int, dict] = {}
    async with connect(project) as agent, anyio.create_task_group() as tasks:

        async def one(number: int) -> None:
            answers[number] = await agent.call("run_tests", tests=[f"test_{number}.py"])

        for number in range(10):
            tasks.start_soon(one, number)
    assert [answers[n]["status"] for n in range(10)] == ["passed"] * 10
    assert len({answer["run_id"] for answer in answers.values()}) == 10


async def test_identical_calls_share_one_run_and_say_so(make_project, connect):
    project = make_project(
        {
            "test_a.py": "import os, time\ndef test_a():\n    while not os.path.exists('go'): time.sleep(0.01)\n"
        }
    )
    answers = []
    async with connect(project) as agent, anyio.create_task_group() as tasks:
        first = await agent.call("run_tests", wait_s=0)
        assert "joined" not in first

        async def one() -> None:
            answers.append(await agent.call("run_tests"))

        for _ in range(2):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()  # both are on their way, and calls are taken in order
        assert (await agent.call("run_tests", wait_s=0))["joined"]
        (project / "go").touch()
    assert {answer["run_id"] for answer in answers} == {first["run_id"]}
    assert [answer["joined"] for answer in answers] == [True, True]


async def test_two_servers_on_one_project_share_its_history(make_project, connect):
    project = make_project(A)
    async with connect(project) as first, connect(project) as second:
        await first.call("run_tests", intent="first")
        await second.call("run_tests", intent="second")
        for agent in (first, second):
            runs = (await agent.call("test_history", view="runs"))["runs"]
            assert [run["intent"] for run in runs] == ["second", "first"]


async def test_run_of_another_project_is_read_by_its_id_alone(make_project, connect, tmp_path):
    own = make_project({"test_a.py": "def test_a(): ..."}, name="own")
    other = make_project({"test_b.py": "def test_b(): ..."}, name="other")
    async with connect(own, "--allow-root", str(tmp_path)) as agent:
        answer = await agent.call("run_tests", project=str(other))
        link = f"pytest-recall://runs/{answer['run_id']}"
        whole = json.loads((await agent.client.read_resource(link)).contents[0].text)
        assert [test["id"] for test in whole["tests"]] == ["test_b.py::test_b"]
        assert "1 passed" in (await agent.client.read_resource(f"{link}/output")).contents[0].text
        assert (await agent.call("run_tests", run_id=answer["run_id"]))["counts"] == answer["counts"]
        nobodys = await agent.error("run_tests", run_id="01a21eb3-047d-7a2f-b432-5dc50f1753bb")
        assert "No run '01a21eb3-047d-7a2f-b432-5dc50f1753bb'" in nobodys


async def test_fewer_collected_tests_are_warned_of(make_project, connect):
    project = make_project(A)
    async with connect(project) as agent:
        await agent.call("run_tests")
        (project / "test_a.py").write_text("def test_one(): ...\n# and test_two is gone\n")
        answer = await agent.call("run_tests")
    assert answer["status"] == "passed"
    assert "1 tests collected, 2 last time" in answer["warnings"][0]
    assert "test_a.py::test_two" in answer["warnings"][0]


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory):
    """The address of a real `chroma run`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma-server")
    command = [Path(sys.executable).with_name("chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*map(str, command), "--path", str(folder / "data")],
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        while True:
            assert server.poll() is None, (folder / "log").read_text()
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


async def test_machines_that_share_a_chroma_server_share_their_memory(
    make_project, connect, chroma_server, tmp_path
):
    here, there = make_project(A, name="here/shop"), make_project(A, name="there/shop")
    async with connect(here, "--store", chroma_server) as agent:
        run = await agent.call("run_tests", intent="on this machine")
        async with connect(there, "--store", chroma_server) as colleague:
            with anyio.fail_after(30):
                while not (runs := (await colleague.call("test_history", view="runs")).get("runs")):
                    pass
            assert runs[0]["intent"] == "on this machine"
            told = await colleague.call("test_history", view="run", run_id=run["run_id"])
            assert told["run"]["counts"] == run["counts"]
            failing = await colleague.call("test_history", view="test", test="test_a.py::test_two")
            assert failing["failed"] == 1


async def test_projects_of_one_name_are_told_apart_by_a_setting(make_project, connect, chroma_server):
    one, other = (make_project(A, name=f"{team}/app") for team in ("red", "blue"))
    async with connect(one, "--store", chroma_server) as agent:
        await agent.call("run_tests")
        assert (await agent.call("test_history"))["failing"]
    async with connect(other, "--store", chroma_server, PYTEST_RECALL_STORE_PROJECT="blue-app") as agent:
        assert "No run is kept yet." in (await agent.call("test_history"))["remarks"]


async def test_job_whose_disk_goes_with_it_leaves_what_it_kept_on_the_server(
    make_project, connect, chroma_server, tmp_path
):
    job, home = make_project(A, name="job/till"), make_project(A, name="home/till")
    report = tmp_path / "report.xml"
    report.write_text('<testsuite><testcase classname="test_a" name="test_one" time="0.1"/></testsuite>')
    words = ["import", str(report), "--project", str(job), "--store", chroma_server]
    environ = {**os.environ, "GITLAB_CI": "true", "CI_COMMIT_SHA": "a" * 40, "CI_JOB_NAME": "py311"}
    subprocess.run([sys.executable, "-m", "pytest_recall", *words], env=environ, check=True)
    shutil.rmtree(job)
    async with connect(home, "--store", chroma_server) as agent:
        with anyio.fail_after(30):
            while not (runs := (await agent.call("test_history", view="runs")).get("runs")):
                pass
        told = await agent.call("test_history", view="run", run_id=runs[0]["run_id"])
        assert told["run"]["ci"] == "GitLab CI py311"


async def test_a_chroma_server_that_is_down_loses_nothing_and_is_named(make_project, connect):
    project = make_project(A)
    async with connect(project, "--store", "http://127.0.0.1:9") as agent:
        answer = await agent.call("run_tests")
        assert answer["status"] == "failed"
        history = await agent.call("test_history", view="runs")
        assert [run["status"] for run in history["runs"]] == ["failed"]
        assert "journal" in history["warnings"][0]
    async with connect(project) as agent:
        assert (await agent.call("test_history", view="test", test="test_a.py::test_two"))["failed"] == 1


async def test_the_server_process_never_imports_chroma(make_project, connect):
    project = make_project({"test_a.py": "def test_a(): ..."})
    async with connect(project) as agent:
        await agent.call("run_tests")
        await agent.call("test_history", view="similar", text="anything")
        servers = [
            process
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and f"serve --project {project}" in _text(process / "cmdline")
        ]  # fmt: skip
        assert servers
        assert not any("chromadb" in _text(process / "maps") for process in servers)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
