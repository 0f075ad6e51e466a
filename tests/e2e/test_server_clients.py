"""The main job through other people's clients: the Python SDK's older line, and the Inspector's command line."""

import json
import os
import subprocess
import sys

A = {"test_a.py": "def test_one(): ...\ndef test_two(): assert 1 == 2\n"}

OLD_CLIENT = """
import json, sys
import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main(python, project):
    server = StdioServerParameters(command=python, args=["-m", "pytest_recall", "serve", "--project", project], env=ENV)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        told = {"tools": [tool.name for tool in (await session.list_tools()).tools]}
        for name, arguments in (
            ("discover_tests", {}), ("run_tests", {}), ("test_history", {"view": "runs"}), ("run_tests", {"tests": ["x.py"]})
        ):
            result = await session.call_tool(name, arguments)
            told[f"{name} {len(told)}"] = [result.isError, result.structuredContent]
        print(json.dumps(told))

ENV = json.loads(sys.argv[3])
anyio.run(main, *sys.argv[1:3])
"""


def test_a_client_of_the_sdks_first_line_does_the_main_job(make_project, tmp_path):
    old = tmp_path / "mcp-1.30"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        str(old),
        "mcp==1.30.0",
    ]
    subprocess.run(pip, check=True)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            OLD_CLIENT,
            sys.executable,
            str(make_project(A)),
            json.dumps(dict(os.environ)),
        ],
        env={**os.environ, "PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["tools"]) >= {"discover_tests", "run_tests", "test_history"}
    assert told["discover_tests 1"][1]["total"] == 2
    assert told["run_tests 2"][1]["counts"] == {"collected": 2, "passed": 1, "failed": 1}
    assert [run["status"] for run in told["test_history 3"][1]["runs"]] == ["failed"]
    assert told["run_tests 4"][0] is True


def test_the_inspectors_command_line_lists_calls_and_reads(make_project, from_npm):
    inspector = from_npm("mcp-inspector")
    project = make_project(A)

    def inspect(*words: str) -> dict:
        server = [sys.executable, "-m", "pytest_recall", "serve", "--project", str(project)]
        settings = [
            f"{name}={value}"
            for name, value in os.environ.items()
            if name.startswith(("PYTEST_RECALL", "XDG_"))
        ]
        done = subprocess.run(
            [*inspector, "--cli", *server, *(f"-e{word}" for word in settings), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    tools = inspect("--method", "tools/list", "--strict")["tools"]
    assert {tool["name"] for tool in tools} >= {"discover_tests", "run_tests", "test_history"}
    run = inspect("--method", "tools/call", "--tool-name", "run_tests", "--tool-arg", "keyword=one")[
        "structuredContent"
    ]
    assert run["status"] == "passed"
    read = inspect("--method", "resources/read", "--uri", f"pytest-recall://runs/{run['run_id']}")
    assert json.loads(read["contents"][0]["text"])["status"] == "passed"
    templates = inspect("--method", "resources/templates/list")["resourceTemplates"]
    assert "pytest-recall://runs/{run_id}/output" in {template["uriTemplate"] for template in templates}
    prompts = inspect("--method", "prompts/list")["prompts"]
    assert {prompt["name"] for prompt in prompts} == {"fix_failures", "triage_flaky", "review_change"}
    got = inspect(
        "--method", "prompts/get", "--prompt-name", "review_change", "--prompt-args", "markers=not slow"
    )
    assert "markers='not slow'" in got["messages"][0]["content"]["text"]
