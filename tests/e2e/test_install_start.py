"""What `install` wrote is started as each client starts it (command, folder, bare environment), and does the job."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client

from pytest_recall.cli import main
from pytest_recall.install import launch, places, trial
from pytest_recall.install.clients import CLIENTS, Machine
from pytest_recall.install.launch import Launch
from pytest_recall.install.places import Configured

pytestmark = pytest.mark.anyio

TESTS = {"test_a.py": "def test_one(): ...\ndef test_two(): assert 1 == 2\n"}
TOOLS = {"discover_tests", "run_tests", "test_history"}


@pytest.fixture
def project(make_project, monkeypatch) -> Path:
    for name in (
        "XDG_CONFIG_HOME",
        "CODEX_HOME",
        "CLAUDE_CONFIG_DIR",
        "GEMINI_CLI_HOME",
        "CLAUDE_PROJECT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = make_project(TESTS, name="my prøject")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def machine(project) -> Machine:
    return places.machine(platform=sys.platform, home=Path.home(), environ=os.environ)


def install(*words: str) -> None:
    """In a process of its own, since an event loop runs here."""
    command = [sys.executable, "-m", "pytest_recall", "install", *words, "--python", sys.executable]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.scopes])
async def test_the_written_entry_starts_a_server_that_does_the_main_job(name, project, machine):
    client = CLIENTS[name]
    told = () if client.project or client.follows else ("--for", str(project))
    install(name, *told)
    [found] = places.configured(machine, project)
    server = trial.parameters(found, machine, project)
    assert Path(server.command).is_absolute()
    assert client.terminal or server.env["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert not {key for key in server.env if key.startswith("PYTEST_RECALL")}

    async with Client(server, mode="legacy") as agent:
        assert {tool.name for tool in (await agent.list_tools()).tools} >= TOOLS
        answer = (await agent.call_tool("run_tests", {})).structured_content
    assert answer["status"] == "failed"
    assert answer["counts"] == {"collected": 2, "passed": 1, "failed": 1}
    assert (project / ".pytest-recall").is_dir()  # the project was this one, wherever the server was started


async def test_an_interpreter_without_a_console_script_starts_it_too(project, machine):
    ours = launch.ours(executable=sys.executable, scripts=Path("/nowhere"), found=None, windows=False)
    entry = launch.entry(CLIENTS["zed"], "user", ours, project="")
    found = Configured(
        client=CLIENTS["zed"],
        scope="user",
        path=project,
        launch=Launch(command=entry["command"], args=tuple(entry["args"])),
    )
    assert set((await trial.start(found, machine, project)).tools) >= TOOLS


def configured(*argv: str, client: str = "zed") -> Configured:
    program = Launch(command=argv[0], args=argv[1:])
    return Configured(client=CLIENTS[client], scope="user", path=Path("x"), launch=program)


@pytest.mark.parametrize(
    ("argv", "trouble"),
    [
        (("/no/such/pytest-recall", "serve"), "it cannot be started (No such file or directory)"),
        (("pytest-recall", "serve"), "it cannot be started (No such file or directory)"),  # by a bare PATH
        (
            (sys.executable, "-c", "import sys; sys.exit('no module named so')"),
            "it ended before it listed its tools ('Connection closed'); its last words: 'no module named so'",
        ),
    ],
)
async def test_a_server_that_does_not_start_is_told_in_words(argv, trouble, machine, project):
    assert (await trial.start(configured(*argv), machine, project)).trouble == trouble


async def test_a_server_that_says_nothing_is_not_waited_for_long(machine, project):
    silent = "import sys; print('thinking', file=sys.stderr, flush=True); sys.stdin.read()"
    tried = await trial.start(configured(sys.executable, "-c", silent), machine, project, within_s=1.0)
    assert tried.trouble.startswith("it did not list its tools within 1 s")


async def test_variables_of_a_client_are_resolved_as_it_would(machine, project, monkeypatch):
    monkeypatch.setenv("WHERE", "elsewhere")
    found = Configured(
        client=CLIENTS["vscode"],
        scope="project",
        path=project,
        launch=Launch(
            command="${userHome}/bin/x",
            args=("--project", "${workspaceFolder}", "${env:WHERE}", "${input:key}"),
            env={"A": "${workspaceFolder}/a"},
            cwd="${workspaceFolder}/sub",
        ),
    )
    server = trial.parameters(found, machine, project)
    assert server.command == f"{Path.home()}/bin/x"
    assert server.args == ["--project", str(project), "elsewhere", "${input:key}"]
    assert server.env["A"] == f"{project}/a"
    assert server.cwd == project / "sub"


def doctor(project: Path, *words: str) -> dict:
    command = [sys.executable, "-m", "pytest_recall", "doctor", "--json", "--project", str(project), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=120
    )
    return json.loads(done.stdout)


def test_doctor_starts_each_configured_server_and_says_what_is_wrong(project):
    install("codex")
    install("windsurf")
    install("vscode")
    (project / ".cursor").mkdir()
    (project / ".cursor" / "mcp.json").write_text(
        '{"mcpServers": {"tests": {"command": "/gone/bin/pytest-recall", "args": ["serve"]}, "other": {"command": "x"}}}'
    )
    (project / ".mcp.json").write_text('{"mcpServers": {,}}')

    answer = doctor(project)

    found = {one["what"]: one["found"] for one in answer["findings"]}
    for name in ("Codex (user)", "Windsurf (user)", "VS Code (project)"):
        assert "tools" in found[name], answer
    problems = {one["what"]: one for one in answer["problems"] if one["what"].endswith(")")}
    assert set(problems) == {"Windsurf (user)", "Cursor (project)", "Claude Code (project)"}
    assert "names no project" in problems["Windsurf (user)"]["found"]
    assert "cannot be started (No such file or directory)" in problems["Cursor (project)"]["found"]
    assert problems["Cursor (project)"]["remedy"].startswith("pytest-recall install cursor --scope project")
    assert "line 1, column 17" in problems["Claude Code (project)"]["found"]


def test_doctor_starts_nothing_when_told_so(project):
    started = project / "started"
    (project / ".mcp.json").write_text(
        json.dumps({"mcpServers": {"pytest-recall": {"command": "/usr/bin/touch", "args": [str(started)]}}})
    )
    answer = doctor(project, "--no-start")
    [found] = [one["found"] for one in answer["findings"] if one["what"] == "Claude Code (project)"]
    assert found == f"configured in {project / '.mcp.json'}"
    assert not started.exists()


def test_doctor_finds_what_claude_code_added_by_itself(project):
    servers = {
        "pytest-recall": {"type": "stdio", "command": "/gone/pytest-recall", "args": ["serve"], "env": {}}
    }
    local = {"projects": {str(project): {"mcpServers": servers}, "/another": {"mcpServers": servers}}}
    (Path.home() / ".claude.json").write_text(json.dumps(local))
    answer = doctor(project, "--no-start")
    assert [one["what"] for one in answer["findings"] if "Claude" in one["what"]] == ["Claude Code (user)"]


def test_doctor_says_so_when_no_client_knows_the_server(project):
    answer = doctor(project, "--no-start")
    [found] = [one["found"] for one in answer["findings"] if one["what"] == "clients"]
    assert "pytest-recall install" in found


def test_install_needs_no_project_of_tests(project, capsys):
    assert main(["install", "zed"]) == 0
    assert "Zed, user scope: written" in capsys.readouterr().out
