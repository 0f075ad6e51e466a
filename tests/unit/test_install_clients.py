"""Where each client keeps its servers, on every platform, and what an entry says there."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from pytest_recall.errors import BadRequest
from pytest_recall.install import launch
from pytest_recall.install.clients import CLIENTS, Machine, check_scope, find
from pytest_recall.install.launch import Launch

LINUX = Machine(platform="linux", home=PurePosixPath("/home/ü x"), environ={})
MACOS = Machine(platform="darwin", home=PurePosixPath("/Users/ü x"), environ={})
WINDOWS = Machine(platform="win32", home=PureWindowsPath(r"C:\Users\ü x"), environ={})
PROGRAM = Launch(command="/opt/ü x/bin/pytest-recall")

PLACES = {
    "claude-code": (".claude.json", ".claude.json", ".claude.json"),
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "codex": (".codex/config.toml",) * 3,
    "gemini": (".gemini/settings.json",) * 3,
}


@pytest.mark.parametrize("name", PLACES)
def test_every_client_has_its_place_on_every_platform(name):
    for machine, place in zip((LINUX, MACOS, WINDOWS), PLACES[name], strict=True):
        assert CLIENTS[name].user(machine) == machine.home / place


def test_every_client_is_covered_here():
    assert set(PLACES) == set(CLIENTS) - {"generic"}


@pytest.mark.parametrize(
    ("name", "machine", "environ", "place"),
    [
        ("claude-code", LINUX, {"CLAUDE_CONFIG_DIR": "/cfg"}, "/cfg/.claude.json"),
        ("codex", MACOS, {"CODEX_HOME": "/cfg"}, "/cfg/config.toml"),
        ("gemini", LINUX, {"GEMINI_CLI_HOME": "/cfg"}, "/cfg/.gemini/settings.json"),
        ("zed", LINUX, {"XDG_CONFIG_HOME": "/cfg"}, "/cfg/zed/settings.json"),
        ("zed", MACOS, {"XDG_CONFIG_HOME": "/cfg"}, "/Users/ü x/.config/zed/settings.json"),
        ("vscode", LINUX, {"XDG_CONFIG_HOME": "not/absolute"}, "/home/ü x/.config/Code/User/mcp.json"),
        ("vscode", WINDOWS, {"APPDATA": r"D:\Roam"}, r"D:\Roam\Code\User\mcp.json"),
        ("zed", WINDOWS, {"APPDATA": r"D:\Roam"}, r"D:\Roam\Zed\settings.json"),
    ],
)
def test_what_the_environment_names_is_followed(name, machine, environ, place):
    machine = Machine(platform=machine.platform, home=machine.home, environ=environ)
    assert str(CLIENTS[name].user(machine)) == place


def test_claude_desktop_as_a_windows_package_has_its_own_roaming_folder():
    machine = Machine(
        platform="win32",
        home=WINDOWS.home,
        environ={"LOCALAPPDATA": r"C:\Users\ü x\AppData\Local"},
        packages=("Claude_pzs8sxrjxfjjc",),
    )
    local = machine.home / "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming"
    assert CLIENTS["claude-desktop"].user(machine) == local / "Claude/claude_desktop_config.json"
    assert CLIENTS["vscode"].user(machine) == machine.home / "AppData/Roaming/Code/User/mcp.json"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("claud-code", "claude-code"),
        ("VS Code", "vscode"),
        ("Claude Desktop", "claude-desktop"),
        ("curser", "cursor"),
    ],
)
def test_an_unknown_client_is_told_the_nearest_one(name, near):
    with pytest.raises(BadRequest, match=f"Did you mean '{near}'"):
        find(name)


def test_a_scope_that_the_client_does_not_have_is_refused_with_the_one_it_has():
    for name in ("claude-desktop", "windsurf"):
        with pytest.raises(BadRequest, match=r"keeps no servers in project scope\. Use --scope user"):
            check_scope(CLIENTS[name], "project")


def test_an_entry_names_the_project_by_the_clients_own_variable_in_the_projects_file():
    assert launch.entry(CLIENTS["vscode"], "project", PROGRAM, project="") == {
        "type": "stdio",
        "command": "/opt/ü x/bin/pytest-recall",
        "args": ["serve", "--project", "${workspaceFolder}"],
    }
    assert launch.entry(CLIENTS["zed"], "project", PROGRAM, project="")["args"] == ["serve"]


@pytest.mark.parametrize("name", PLACES)
def test_a_users_file_names_a_project_only_when_asked(name):
    client = CLIENTS[name]
    assert launch.entry(client, "user", PROGRAM, project="")["args"] == ["serve"]
    named = launch.entry(client, "user", PROGRAM, project="/p q", options=("--python", "/x"))
    assert named["args"] == ["serve", "--project", "/p q", "--python", "/x"]


@pytest.mark.parametrize("name", PLACES)
def test_the_default_scope_is_one_that_needs_no_project_named(name):
    client = CLIENTS[name]
    doubts = launch.doubts(client, client.scope, PROGRAM, project="", temporary="/tmp")
    unaware = any("which project is open" in doubt for doubt in doubts)
    assert unaware == (name in {"claude-desktop", "windsurf"})  # they have no other


@pytest.mark.parametrize(
    "command",
    [
        "/home/u/.cache/uv/archive-v0/Xy_1/bin/pytest-recall",
        "/home/u/.cache/uv/environments-v2/x-1/bin/python",
        r"C:\Users\u\AppData\Local\uv\cache\archive-v0\Xy\Scripts\pytest-recall.exe",
        "/home/u/.local/share/pipx/.cache/8b1/bin/pytest-recall",
        "/tmp/x/bin/pytest-recall",
    ],
)
def test_an_environment_that_vanishes_is_doubted(command):
    [doubt] = launch.doubts(CLIENTS["zed"], "user", Launch(command=command), project="", temporary="/tmp")
    assert "temporary environment" in doubt
    assert "`pipx install`" in doubt


def test_a_lasting_environment_is_not_doubted():
    for command in (
        "/home/u/.local/bin/pytest-recall",
        "/home/u/.local/share/uv/tools/pytest-recall/bin/pytest-recall",
    ):
        found = launch.doubts(CLIENTS["zed"], "user", Launch(command=command), project="", temporary="/tmp")
        assert found == []


def test_a_path_that_a_client_may_take_for_a_variable_is_doubted():
    [doubt] = launch.doubts(
        CLIENTS["gemini"], "user", Launch(command="/home/u/$x/pytest-recall"), project="", temporary="/tmp"
    )
    assert "'$'" in doubt


def test_without_a_console_script_the_interpreter_is_the_command():
    found = launch.ours(executable="/v env/bin/python", scripts=Path("/nowhere"), found=None, windows=False)
    assert found == Launch(command="/v env/bin/python", args=("-m", "pytest_recall"))


def test_the_path_of_a_desktop_program_is_bare_on_every_platform():
    assert LINUX.minimal_path == MACOS.minimal_path == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert WINDOWS.minimal_path == r"C:\Windows\System32;C:\Windows"
