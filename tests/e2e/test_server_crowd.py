"""More calls at once than may work at once, on one project and on several: a cap, a queue, and nobody overtaken."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

pytestmark = pytest.mark.anyio

# Every pytest of theirs says when it is there and when it leaves.
CENSUS = """
    import os, pathlib

    CENSUS = pathlib.Path({census!r})

    def say(word):
        file = os.open(CENSUS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, (word + " " + pathlib.Path.cwd().name + "\\n").encode())
        os.close(file)

    def pytest_configure(config): say("in")
    def pytest_unconfigure(config): say("out")
"""


def most_at_once(census: Path) -> int:
    there = most = 0
    for line in census.read_text().splitlines():
        there += 1 if line.startswith("in ") else -1
        most = max(most, there)
    assert there == 0
    return most


async def test_runs_and_discoveries_of_several_projects_share_one_cap(make_project, connect, tmp_path):
    census = tmp_path / "census"
    projects = [
        make_project(
            {"conftest.py": CENSUS.format(census=str(census)), "test_a.py": "def test_a(): ..."},
            name=f"shop{n}",
        )
        for n in range(4)
    ]
    answers = []
    async with (
        connect(projects[0], "--allow-root", str(tmp_path)) as agent,
        anyio.create_task_group() as tasks,
    ):

        async def one(tool: str, project: Path) -> None:
            answers.append(await agent.call(tool, project=str(project)))

        for project in projects:
            tasks.start_soon(one, "run_tests", project)
            tasks.start_soon(one, "discover_tests", project)
    assert len(answers) == 8
    assert [answer["status"] for answer in answers if "status" in answer] == ["passed"] * 4
    assert [answer["total"] for answer in answers if "total" in answer] == [1] * 4
    assert 1 <= most_at_once(census) <= 2


async def test_queue_is_served_in_the_order_of_the_calls(make_project, connect, tmp_path):
    files = {f"test_{n}.py": f"def test_a(): open('order', 'a').write('{n} ')\n" for n in range(5)}
    project = make_project(files)
    async with connect(project, PYTEST_RECALL_RUNS_AT_ONCE="1") as agent:
        begun = [await agent.call("run_tests", tests=[f"test_{n}.py"], wait_s=0) for n in range(5)]
        for answer in begun:
            assert (await agent.call("run_tests", run_id=answer["run_id"]))["status"] == "passed"
    assert (project / "order").read_text().split() == ["0", "1", "2", "3", "4"]


async def test_same_discovery_by_many_is_made_once_or_twice_and_then_cached(make_project, connect, tmp_path):
    census = tmp_path / "census"
    project = make_project(
        {"conftest.py": CENSUS.format(census=str(census)), "test_a.py": "def test_a(): ..."}
    )
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    answers = []
    async with connect(project) as agent, anyio.create_task_group() as tasks:

        async def one() -> None:
            answers.append(await agent.call("discover_tests"))

        for _ in range(6):
            tasks.start_soon(one)
    assert [answer["total"] for answer in answers] == [1] * 6
    assert sum("cached" not in answer for answer in answers) <= 2
    assert census.read_text().count("in ") <= 2


async def test_unchanged_tree_is_told_from_a_changed_one_and_from_another_environment(
    make_project, connect, tmp_path
):
    environment = tmp_path / "environment"
    words = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(environment)]
    subprocess.run(words, check=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    # What this Python finds, that one finds too.
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    project = make_project({"test_a.py": "def test_a(): ..."})
    async with connect(project, "--python", str(environment / "bin" / "python")) as agent:

        async def cached() -> bool:
            return (await agent.call("discover_tests")).get("cached", False)

        assert [await cached(), await cached()] == [False, True]
        (project / "test_b.py").write_text("def test_b(): ...")
        assert [await cached(), await cached()] == [False, True]
        (site / "plugin.py").touch()
        os.utime(site)
        assert [await cached(), await cached()] == [False, True]


async def test_failing_tests_are_found_again_where_the_rootdir_is_elsewhere(make_project, connect):
    above = make_project(
        {
            "inner/one/pyproject.toml": "[tool.pytest.ini_options]\n",
            "inner/one/tests/test_one.py": "def test_bad(): assert 0\ndef test_good(): ...\n",
        }
    )
    async with connect(above / "inner") as agent:
        first = await agent.call("run_tests", tests=["one"])
        assert first["failures"][0]["tests"] == ["tests/test_one.py::test_bad"]
        again = await agent.call("run_tests", only="failed")
    assert again["counts"] == {"failed": 1, "collected": 1}
