"""What a client sees of the server before it calls anything: tools as frozen, prompts, completions; and how little is imported."""

import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import ListToolsResult, Prompt, PromptReference, ResourceTemplateReference

pytestmark = pytest.mark.anyio

FROZEN = Path(__file__).parents[1] / "recorded" / "tools.json"
MARKED = {
    "pytest.ini": "[pytest]\nmarkers =\n    slow: takes long\n    network: needs one\n",
    "test_a.py": """
        import pytest

        @pytest.mark.slow
        def test_one(): ...

        @pytest.mark.network
        @pytest.mark.slow
        def test_two(): assert 1 == 2
    """,
}
# None is needed to say what there is. (starlette and uvicorn the SDK imports by itself.)
LATE = {
    "numpy",
    "aiohttp",
    "chromadb",
    "tomlkit",
    "defusedxml",
    "pygments",
    "xml.etree.ElementTree",
    "junitparser",
    "hypothesis",
    "onnxruntime",
    "prometheus_client",
    "grpc",
    "rich",
    "httpx",
    "sqlite3",
    "kubernetes",
    "sphinx",
    "pytest",
    "requests",
    "jinja2",
}


@dataclass(frozen=True)
class Surface:
    tools: ListToolsResult
    prompts: list[Prompt]
    texts: dict[str, list[str]]  # of each prompt: without arguments, and with all of them
    instructions: str


@pytest.fixture(scope="module")
def surface(tmp_path_factory) -> Surface:
    """All that is looked at below, from one server."""
    project = tmp_path_factory.mktemp("project")
    command = ["-m", "pytest_recall", "serve", "--project", str(project)]

    async def look() -> Surface:
        server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
        async with Client(server, mode="legacy") as client:
            prompts = (await client.list_prompts()).prompts
            texts: dict[str, list[str]] = {}
            for prompt in prompts:
                for values in ({}, {argument.name: "a'b" for argument in prompt.arguments}):
                    got = await client.get_prompt(prompt.name, values)
                    texts.setdefault(prompt.name, []).append(got.messages[0].content.text)
            return Surface(await client.list_tools(), prompts, texts, client.instructions)

    return anyio.run(look)


def test_the_tools_are_those_that_were_frozen(surface):
    listed = surface.tools.model_dump(mode="json", by_alias=True, exclude_none=True)
    now = {tool["name"]: tool for tool in listed["tools"]}
    frozen = json.loads(FROZEN.read_text("utf-8"))
    lines = [json.dumps(tools, indent=1, sort_keys=True).splitlines() for tools in (frozen["tools"], now)]
    diff = "\n".join(difflib.unified_diff(*lines, "frozen", "now", lineterm="", n=2))
    why = os.environ.get("WHY_THE_TOOLS_CHANGED", "")
    if diff and why:
        size = len(json.dumps(listed, separators=(",", ":"), ensure_ascii=False))
        change = {"digest": digest(now), "characters": size, "why": why}
        whole = {"changes": [*frozen["changes"], change], "tools": now}
        FROZEN.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return
    assert not diff, (
        f"{diff}\n\nEvery session of every agent reads these schemas. If this change is meant, freeze it with its reason:\n"
        f"WHY_THE_TOOLS_CHANGED='…' python -m pytest {Path(__file__).name}"
    )


def test_each_change_of_the_tools_has_its_reason():
    frozen = json.loads(FROZEN.read_text("utf-8"))
    assert frozen["changes"][-1]["digest"] == digest(frozen["tools"])
    assert [change for change in frozen["changes"] if len(change["why"].split()) < 3] == []
    assert frozen["changes"][-1]["characters"] <= 12_000


def digest(tools: dict) -> str:
    return hashlib.sha256(json.dumps(tools, sort_keys=True).encode()).hexdigest()[:16]


def test_instructions_are_two_sentences_and_say_when(surface):
    assert surface.instructions.count(". ") == 1
    assert surface.instructions.endswith(".")
    assert "instead of pytest in a shell" in surface.instructions


def test_each_tool_says_when_to_use_it_and_shows_a_call(surface):
    for tool in surface.tools.tools:
        assert len(tool.description) < 2_000, tool.name
        assert "='" in tool.description or "=['" in tool.description, tool.name
    instead = [
        tool.name
        for tool in surface.tools.tools
        if " instead of `pytest" in " ".join(tool.description.split())
    ]
    assert instead == ["discover_tests", "run_tests"]


def test_prompts_name_only_calls_that_exist(surface):
    tools = {tool.name: tool.input_schema["properties"] for tool in surface.tools.tools}
    assert [prompt.name for prompt in surface.prompts] == ["fix_failures", "triage_flaky", "review_change"]
    for prompt in surface.prompts:
        assert prompt.description
        assert all(argument.description and not argument.required for argument in prompt.arguments)
        for text in surface.texts[prompt.name]:
            assert calls(text)
            for call, arguments in calls(text):
                assert set(arguments) <= set(tools[call]), text


def calls(text: str) -> list[tuple[str, list[str]]]:
    found = re.findall(r"\b((?:run|discover)_tests|test_history|record_note)\(([^)]*)\)", text)
    return [(name, re.findall(r"(\w+)=", arguments)) for name, arguments in found]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_prompt_that_is_asked_wrongly_is_told_and_no_subscription_is_promised(
    make_project, connect, mode
):
    async with connect(make_project({}), mode=mode) as agent:
        with pytest.raises(MCPError, match=r"no prompt 'fix'\. There are 'fix_failures', 'triage_flaky'"):
            await agent.client.get_prompt("fix", {})
        with pytest.raises(MCPError, match=r"fix_failures has no argument 'run'\. It takes 'run_id'\."):
            await agent.client.get_prompt("fix_failures", {"run": "1"})
        offered = agent.client.server_capabilities
    assert not offered.resources.subscribe
    assert not any(kind.list_changed for kind in (offered.resources, offered.prompts, offered.tools))


async def test_completions_know_runs_tests_causes_and_markers(make_project, connect):
    project = make_project(MARKED)
    async with connect(project) as agent:

        async def complete(ref, name: str, typed: str) -> list[str]:
            return (await agent.client.complete(ref, {"name": name, "value": typed})).completion.values

        review = PromptReference(type="ref/prompt", name="review_change")
        triage = PromptReference(type="ref/prompt", name="triage_flaky")
        run = ResourceTemplateReference(type="ref/resource", uri="pytest-recall://runs/{run_id}")
        failure = ResourceTemplateReference(type="ref/resource", uri="pytest-recall://failures/{fingerprint}")

        # Before any run: what the project has.
        assert await complete(triage, "test_id", "TWO") == ["test_a.py::test_two"]
        assert await complete(review, "markers", "") == ["network", "slow"]
        assert await complete(review, "markers", "not (sl") == ["not (slow"]
        assert await complete(run, "run_id", "") == []

        answer = await agent.call("run_tests")
        assert await complete(run, "run_id", answer["run_id"][:6]) == [answer["run_id"]]
        assert await complete(triage, "test_id", "test_a") == ["test_a.py::test_one", "test_a.py::test_two"]
        assert await complete(failure, "fingerprint", "fp1:") == [answer["failures"][0]["fingerprint"]]
        assert await complete(review, "base", "age") == ["agent"]
        assert await complete(review, "nonsense", "") == []


async def test_at_most_a_hundred_completions_are_sent_and_the_rest_is_counted(make_project, connect):
    project = make_project({"test_a.py": "\n".join(f"def test_{n}(): ..." for n in range(130))})
    async with connect(project) as agent:
        triage = PromptReference(type="ref/prompt", name="triage_flaky")
        found = (await agent.client.complete(triage, {"name": "test_id", "value": "test_"})).completion
    assert (len(found.values), found.total, found.has_more) == (100, 130, True)


async def test_completing_in_a_project_that_cannot_be_collected_offers_nothing(tmp_path, connect):
    async with connect(tmp_path, PYTEST_RECALL_PYTHON="/no/such/python") as agent:
        review = PromptReference(type="ref/prompt", name="review_change")
        found = await agent.client.complete(review, {"name": "markers", "value": ""})
    assert found.completion.values == []


# Runs the real command with its stdin and stdout, and tells on stderr what it had imported when the client left.
SPY = """
import atexit, json, os, sys
real = os._exit
def leave(code):
    sys.stderr.write("IMPORTED " + json.dumps(sorted(sys.modules)) + "\\n"); sys.stderr.flush(); real(code)
os._exit = leave
from pytest_recall.cli import main
sys.exit(main(["serve", "--project", sys.argv[1]]))
"""


def test_nothing_slow_is_imported_before_it_is_needed(make_project):
    requests = (
        {"method": "initialize", "id": 1, "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}},
        {"method": "notifications/initialized"},
        {"method": "tools/list", "id": 2},
        {"method": "prompts/list", "id": 3},
        {"method": "resources/templates/list", "id": 4},
    )  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-c", SPY, str(make_project({}))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        for request in requests:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **request}) + "\n")
            server.stdin.flush()
            if "id" in request:
                assert json.loads(server.stdout.readline())["id"] == request["id"]
        server.stdin.close()
        said = server.stderr.read()
    [line] = [line for line in said.splitlines() if line.startswith("IMPORTED ")]
    imported = set(json.loads(line.removeprefix("IMPORTED ")))
    assert "mcp.server.mcpserver" in imported  # the spy looked at the right process
    assert sorted(imported & LATE) == []
    ours = {name for name in imported if name.startswith("pytest_recall.")}
    unasked = (
        "imports",
        "exports",
        "install",
        "store.chroma",
        "store.worker",
        "cli.terminal",
        "demo",
        "server.http",
    )
    assert [name for name in sorted(ours) if name.removeprefix("pytest_recall.").startswith(unasked)] == []
