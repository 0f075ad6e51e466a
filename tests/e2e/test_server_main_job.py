"""The main job at the agent's door: discover, run, read, and find it again from another process."""

import json

import pytest

pytestmark = pytest.mark.anyio

MIXED = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "test_calc.py": """
        import pytest
        from calc import add

        def test_zero():
            assert add(0, 0) == 0

        @pytest.mark.parametrize("a", [1, 2, 3])
        def test_sum(a):
            assert add(a, a) == 2 * a

        @pytest.mark.skip(reason="later")
        def test_later(): ...

        @pytest.mark.xfail
        def test_known():
            assert False

        @pytest.fixture
        def broken():
            raise RuntimeError("no database")

        def test_one(broken): ...
        def test_two(broken): ...
    """,
}


async def test_discovers_runs_fixes_and_remembers(make_project, connect, plugins):
    project = make_project(MIXED)
    async with connect(project) as agent:
        found = await agent.call("discover_tests")
        assert found["files"] == [{"path": "test_calc.py", "tests": 8}]
        assert found["total"] == 8

        first = await agent.call("run_tests", intent="see what is there")
        assert first["status"] == "failed"
        assert first["counts"] == {
            "collected": 8, "passed": 1, "failed": 3, "error": 2, "skipped": 1, "xfailed": 1
        }  # fmt: skip
        by_error = {group["error"]: group for group in first["failures"]}
        assert by_error["AssertionError"]["tests"] == [f"test_calc.py::test_sum[{n}]" for n in (1, 2, 3)]
        assert by_error["AssertionError"]["at"] == "test_calc.py:10"
        assert by_error["RuntimeError"]["tests"] == ["test_calc.py::test_one", "test_calc.py::test_two"]
        assert by_error["RuntimeError"]["message"] == "no database"

        (project / "calc.py").write_text("def add(a, b):\n    return a + b  # mended\n")
        again = await agent.call("run_tests", tests=["test_calc.py::test_sum"])
        assert again["status"] == "passed"
        assert again["counts"] == {"collected": 3, "passed": 3}

        whole = await agent.call("run_tests")
        assert whole["newly_passing"] == [f"test_calc.py::test_sum[{n}]" for n in (1, 2, 3)]

    async with connect(project) as agent:
        runs = await agent.call("test_history", view="runs")
        assert [run["status"] for run in runs["runs"]] == ["failed", "passed", "failed"]
        assert runs["runs"][-1]["intent"] == "see what is there"
        told = await agent.call("test_history", view="run", run_id=first["run_id"])
        assert told["run"]["counts"] == first["counts"]
        test = await agent.call("test_history", view="test", test="test_calc.py::test_sum[1]")
        assert test["outcomes"] == "F.."
        failures = await agent.call("test_history", view="failures")
        assert {failure["error"] for failure in failures["failures"]} == {"AssertionError", "RuntimeError"}
        summary = await agent.call("test_history")
        assert {line["id"] for line in summary["failing"]} == {
            "test_calc.py::test_one",
            "test_calc.py::test_two",
        }


async def test_the_project_keeps_no_file_of_ours_but_its_store(make_project, connect):
    project = make_project({"test_a.py": "def test_a(): ..."})
    before = {path.name for path in project.iterdir()}
    async with connect(project) as agent:
        await agent.call("run_tests")
    assert {path.name for path in project.iterdir()} - before <= {".pytest-recall", "__pycache__"}
    assert (project / ".pytest-recall" / ".gitignore").read_text() == "*\n"


async def test_green_answers_are_small(make_project, connect):
    project = make_project(
        {"test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(300))\ndef test_a(n): ..."}
    )
    async with connect(project) as agent:
        answer = await agent.call("run_tests")
    assert answer["status"] == "passed"
    assert len(json.dumps(answer, separators=(",", ":"))) <= 400


async def test_resources_give_the_whole_run_its_output_and_its_report(make_project, connect):
    project = make_project({"test_a.py": "def test_a(): ..."})
    async with connect(project) as agent:
        run_id = (await agent.call("run_tests"))["run_id"]
        texts = {}
        for what in ("", "/output", "/report"):
            read = await agent.client.read_resource(f"pytest-recall://runs/{run_id}{what}")
            texts[what] = read.contents[0].text
    assert json.loads(texts[""])["tests"][0]["id"] == "test_a.py::test_a"
    assert "1 passed" in texts["/output"]
    assert json.loads(texts["/report"])["summary"] == {"passed": 1, "total": 1, "collected": 1}


async def test_an_impatient_caller_gets_a_handle_and_comes_back(make_project, connect):
    project = make_project(
        {
            "test_a.py": "import os, time\ndef test_a():\n    while not os.path.exists('go'): time.sleep(0.01)\n"
        }
    )
    async with connect(project) as agent:
        running = await agent.call("run_tests", wait_s=0)
        assert running["status"] == "running"
        joined = await agent.call("run_tests", wait_s=0)
        assert (joined["run_id"], joined["joined"]) == (running["run_id"], True)
        (project / "go").touch()
        done = await agent.call("run_tests", run_id=running["run_id"])
        assert done["status"] == "passed"
        assert done["run_id"] == running["run_id"]


async def test_both_protocol_eras_are_served(make_project, connect):
    project = make_project({"test_a.py": "def test_a(): ..."})
    for mode in ("auto", "legacy"):
        async with connect(project, mode=mode) as agent:
            assert (await agent.call("run_tests"))["status"] == "passed"


async def test_every_tool_fits_the_schema_budget(make_project, connect):
    async with connect(make_project({})) as agent:
        tools = await agent.client.list_tools()
    wire = tools.model_dump_json(by_alias=True, exclude_none=True)
    assert len(wire) <= 12_000
    assert {tool.name for tool in tools.tools} >= {"discover_tests", "run_tests", "test_history"}
    assert all(len(tool.description) <= 2_000 for tool in tools.tools)


async def test_progress_rises_strictly(make_project, connect):
    project = make_project(
        {"test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(300))\ndef test_a(n): ..."}
    )
    async with connect(project) as agent:
        await agent.call("run_tests")
    assert agent.progress == sorted(set(agent.progress))
