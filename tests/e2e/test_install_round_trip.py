"""`install` on files as people have them: in, again, and out to the last byte; and what it refuses, in words."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from pytest_recall.cli import main
from pytest_recall.install import jsonc, toml
from pytest_recall.install.clients import CLIENTS
from pytest_recall.install.places import machine

CLAUDE_CODE = """{
  "numStartups": 34,
  "tipsHistory": { "shift-enter": 5, "größe": [1, 2] },
  "projects": {
    "/home/u/shop": {
      "allowedTools": [],
      "mcpServers": {}
    }
  },
  "mcpServers": {
    "docs": {
      "type": "http",
      "url": "https://docs.example/mcp"
    }
  },
  "userID": "0f"
}"""

DESKTOP = """{
\t"globalShortcut": "",
\t"mcpServers": {
\t\t"filesystem": {
\t\t\t"command": "npx",
\t\t\t"args": ["-y", "@modelcontextprotocol/server-filesystem", "C:\\\\Users\\\\u"]
\t\t}
\t}
}
"""

CURSOR = '{"mcpServers": {"docs": {"url": "https://docs.example/mcp"}}}'

VSCODE = """{
    // servers of the team
    "inputs": [
        { "id": "key", "type": "promptString", "password": true, },
    ],
    "servers": {
        "github": {
            "type": "http",
            "url": "https://mcp.example/", // the remote one
        }, // more to come
    },
}
"""

ZED = """// Zed settings
//
// For information on how to configure Zed, see the Zed
// documentation: https://zed.dev/docs/configuring-zed
{
  "theme": {
    "mode": "system", // or "light"
    "dark": "One Dark",
  },
  /* "vim_mode": true, */
  "buffer_font_size": 15
}
"""

CODEX = """# Codex
model = "gpt-5"            # the good one
approval_policy = "on-request"

[mcp_servers.docs]
command = "npx"
args = [
  "-y", # yes
  "docs-mcp",
]

[mcp_servers.docs.env]
KEY = 'a'

[projects."/home/u/shop"]
trust_level = "trusted"
"""

FILES = {
    ("claude-code", "user"): CLAUDE_CODE,
    ("claude-code", "project"): '{\n  "mcpServers": {}\n}\n',
    ("claude-desktop", "user"): DESKTOP,
    ("cursor", "user"): "{}",
    ("cursor", "project"): CURSOR,
    ("vscode", "user"): VSCODE,
    ("vscode", "project"): VSCODE.replace("\n", "\r\n"),
    ("windsurf", "user"): "",
    ("zed", "user"): ZED,
    ("zed", "project"): ZED.replace('"buffer_font_size": 15', '"context_servers": { }'),
    ("codex", "user"): CODEX,
    ("codex", "project"): CODEX.replace("\n", "\r\n"),
    ("gemini", "user"): '\ufeff{\n  "security": {"auth": {"selectedType": "oauth-personal"}}\n}',
    ("gemini", "project"): "{\n\n}\n",
}


@pytest.fixture
def home(monkeypatch) -> Path:
    for name in (
        "XDG_CONFIG_HOME",
        "CODEX_HOME",
        "CLAUDE_CONFIG_DIR",
        "GEMINI_CLI_HOME",
        "CLAUDE_PROJECT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    return Path(os.environ["HOME"])


@pytest.fixture
def project(tmp_path, monkeypatch, home) -> Path:
    folder = tmp_path / "my prøject"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def install(capsys, project):
    """`install(client, …)`: the command's exit code and its answer as JSON."""

    def run(*words: str) -> tuple[int, dict]:
        code = main(["install", "--json", *words])
        return code, json.loads(capsys.readouterr().out)

    return run


def file_of(client: str, scope: str) -> Path:
    one = CLIENTS[client]
    if scope == "project":
        return Path.cwd() / one.project
    return Path(one.user(machine(platform=sys.platform, home=Path.home(), environ=os.environ)))


def entry_in(path: Path, client: str) -> dict:
    editor = toml if path.suffix == ".toml" else jsonc
    values = editor.read(path.read_bytes().decode("utf-8-sig"))
    for key in (*CLIENTS[client].keys, "pytest-recall"):
        values = values[key]
    return values


def test_every_scope_of_every_client_is_covered_here():
    assert set(FILES) == {(client.name, scope) for client in CLIENTS.values() for scope in client.scopes}


@pytest.mark.parametrize("kind", ["existing", "new"])
@pytest.mark.parametrize(("client", "scope"), FILES)
def test_in_and_again_and_out_to_the_last_byte(client, scope, kind, install):
    path = file_of(client, scope)
    before = FILES[client, scope].encode() if kind == "existing" else None
    if before is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(before)
        path.chmod(0o640)

    code, first = install(client, "--scope", scope)
    assert (code, first["status"], first["file"]) == (0, "written", str(path))
    written = path.read_bytes()
    entry = entry_in(path, client)
    assert entry == first["entry"]
    assert Path(entry["command"]).is_absolute()
    if before is not None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        kept = Path(first["kept"])
        assert (kept.parent, kept.read_bytes()) == (path.parent, before)
        assert stat.S_IMODE(kept.stat().st_mode) == 0o640

    code, second = install(client, "--scope", scope)
    assert (code, second["status"]) == (0, "unchanged")
    assert path.read_bytes() == written

    code, out = install(client, "--scope", scope, "--uninstall")
    assert (code, out["status"]) == (0, "removed")
    assert (path.read_bytes() if path.exists() else None) == before
    assert [left.name for left in path.parent.iterdir() if "pytest-recall" in left.name] == []

    code, gone = install(client, "--scope", scope, "--uninstall")
    assert (code, gone["status"]) == (0, "unchanged")


@pytest.mark.parametrize(("client", "scope"), FILES)
def test_what_changed_after_it_survives_taking_it_out(client, scope, install):
    path = file_of(client, scope)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FILES[client, scope].encode())
    install(client, "--scope", scope)
    form = toml if path.suffix == ".toml" else jsonc
    text = form.put(path.read_bytes().decode("utf-8-sig"), ("later",), {"kept": True})
    path.write_bytes(text.encode())

    _, out = install(client, "--scope", scope, "--uninstall")

    assert out["status"] == "removed"
    left = form.read(path.read_bytes().decode())
    was = form.read(FILES[client, scope].removeprefix("\ufeff"))
    servers = CLIENTS[client].keys[0]
    if form is jsonc:
        was.setdefault(servers, {})
    assert left == was | {"later": {"kept": True}}


def test_an_update_keeps_what_a_person_added_to_our_entry(install, home, project):
    path = project / ".mcp.json"
    path.write_text(
        '{"mcpServers": {"pytest-recall": {\n  "command": "/old/pytest-recall", // mine\n'
        '  "env": {"PYTEST_RECALL_LOG_LEVEL": "debug"}\n}}}'
    )
    before = path.read_text()

    _, answer = install("claude-code", "--scope", "project")

    assert Path(answer["kept"]).read_text() == before
    entry = entry_in(path, "claude-code")
    assert entry["env"] == {"PYTEST_RECALL_LOG_LEVEL": "debug"}
    assert entry["command"] == answer["entry"]["command"]
    assert "// mine" in path.read_text()
    _, again = install("claude-code", "--scope", "project", "--uninstall")
    assert again["status"] == "removed"
    assert jsonc.read(path.read_text()) == {"mcpServers": {}}


def test_a_newer_entry_of_ours_still_gives_way_to_the_bytes_before_the_first(install, home, project):
    path = project / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text(CURSOR)
    install("cursor")
    _, newer = install("cursor", "--python", sys.executable)
    assert newer["status"] == "written"
    assert "kept" not in newer  # the copy from before the first one stays
    assert entry_in(path, "cursor")["args"][-2:] == ["--python", sys.executable]
    install("cursor", "--uninstall")
    assert path.read_text() == CURSOR


def test_a_dry_run_shows_the_change_and_writes_nothing(install, home, project, capsys):
    path = project / ".vscode" / "mcp.json"
    path.parent.mkdir()
    path.write_text(VSCODE)
    _, answer = install("vscode", "--dry-run")
    assert answer["status"] == "not written: a dry run"
    added = [line for line in answer["diff"].splitlines() if line.startswith("+")]
    assert '+        "pytest-recall": {' in added
    assert [line for line in answer["diff"].splitlines() if line.startswith("-") and line[:3] != "---"] == []
    assert path.read_text() == VSCODE
    assert [left.name for left in path.parent.iterdir()] == ["mcp.json"]

    main(["install", "vscode", "--dry-run"])
    assert '+        "pytest-recall": {' in capsys.readouterr().out


def test_a_users_file_names_the_project_that_was_asked_for(install, home, project):
    _, answer = install("claude-desktop", "--for", str(project))
    assert answer["entry"]["args"] == ["serve", "--project", str(project)]
    assert not any("which project is open" in text for text in answer.get("warnings", ()))
    _, unnamed = install("windsurf")
    assert any("--for FOLDER" in text for text in unnamed["warnings"])


def test_any_other_file_can_be_named(install, home, project):
    path = home / "other client" / "servers.json"
    _, answer = install("generic", "--file", str(path))
    assert answer["status"] == "written"
    assert entry_in(path, "generic")["args"] == ["serve"]
    install("generic", "--file", str(path), "--uninstall")
    assert not path.exists()


def test_without_a_file_the_generic_entry_is_printed(home, project, capsys):
    assert main(["install", "generic"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["mcpServers"]["pytest-recall"]["args"] == ["serve"]


@pytest.mark.parametrize(
    ("client", "text", "place"),
    [
        ("zed", '{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a comma or } is expected"),
        ("codex", "a = 1\nb = \n", "line 2, column 5: Invalid value"),
        ("gemini", "[]", "line 1, column 1: the whole must be an object"),
        ("cursor", '{"mcpServers": []}', "line 1, column 16: an object is expected here"),
        ("windsurf", b'{"a":\n"\xff"}', "line 2, column 2: this is no UTF-8 text"),
    ],
)
def test_a_broken_file_is_left_alone_and_the_place_is_named(client, text, place, install):
    path = file_of(client, "user")
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    code, answer = install(client, "--scope", "user")
    assert code == 4
    assert f"{path} cannot be read, {place}" in answer["error"]
    assert "It was left as it was" in answer["error"]
    assert path.read_bytes() == before
    assert [left.name for left in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("claude-cod",), "Did you mean 'claude-code'?"),
        (("windsurf", "--scope", "project"), "Windsurf keeps no servers in project scope. Use --scope user."),
        (("zed", "--for", "/no/such/folder"), "No folder at '/no/such/folder'. Pass the project's folder."),
        (("generic", "--uninstall"), "Name its file with --file."),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_the_right_way(words, said, install):
    code, answer = install(*words)
    assert code == 4
    assert said in answer["error"]


def test_a_link_inside_the_home_is_written_through(install, home, project):
    dotfiles = home / "dotfiles" / "zed.json"
    dotfiles.parent.mkdir()
    dotfiles.write_text(ZED)
    link = home / ".config" / "zed" / "settings.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(dotfiles)
    _, answer = install("zed")
    assert answer["file"] == str(dotfiles)
    assert link.is_symlink()
    assert entry_in(dotfiles, "zed")["args"] == ["serve"]
    install("zed", "--uninstall")
    assert link.is_symlink()
    assert dotfiles.read_text() == ZED


@pytest.mark.parametrize("kind", ["file", "folder", "circle"])
def test_a_link_out_of_the_project_is_not_followed(kind, install, home, project, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mcp.json").write_text("{}")
    if kind == "folder":
        (project / ".cursor").symlink_to(elsewhere)
    else:
        (project / ".cursor").mkdir()
        target = elsewhere / "mcp.json" if kind == "file" else project / ".cursor" / "mcp.json"
        (project / ".cursor" / "mcp.json").symlink_to(target)
    code, answer = install("cursor", "--scope", "project")
    assert code == 4
    assert ("cannot be read" if kind == "circle" else "outside") in answer["error"]
    assert [(left.name, left.read_text()) for left in elsewhere.iterdir()] == [("mcp.json", "{}")]


def test_a_folder_where_the_file_should_be_is_left_alone(install, home, project):
    (project / ".mcp.json").mkdir()
    code, answer = install("claude-code", "--scope", "project")
    assert code == 4
    assert "cannot be read (Is a directory); it was left as it was" in answer["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are not files there")
def test_a_pipe_where_the_file_should_be_is_not_waited_for(install, home, project):
    os.mkfifo(project / ".mcp.json")
    code, answer = install("claude-code", "--scope", "project")
    assert code == 4
    assert "is no regular file; it was left alone" in answer["error"]


def test_a_file_where_the_folder_should_be_is_left_alone(install, home, project):
    (project / ".cursor").write_text("mine")
    code, answer = install("cursor", "--scope", "project")
    assert code == 4
    assert "cannot be read (Not a directory); it was left as it was" in answer["error"]
    assert (project / ".cursor").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(install, home, project):
    (project / ".mcp.json").write_text("{}")
    project.chmod(0o500)
    try:
        code, answer = install("claude-code", "--scope", "project")
    finally:
        project.chmod(0o700)
    assert code == 4
    assert "cannot be written (Permission denied)" in answer["error"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(install, home, project, monkeypatch):
    (project / ".mcp.json").write_text("{}")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, answer = install("claude-code", "--scope", "project")
    assert code == 4
    assert "No space left on device" in answer["error"]
    assert (project / ".mcp.json").read_text() == "{}"
    assert [left.name for left in project.iterdir()] == [".mcp.json"]


def test_a_change_that_came_between_reading_and_writing_is_not_lost(home, project, monkeypatch):
    from pytest_recall.install import files, merge

    path = project / ".mcp.json"
    path.write_text("{}")
    spot = merge.Spot(path=path, form="json", keys=("mcpServers", "pytest-recall"))
    others = iter(['{"one": 1}', '{"two": 2}'])

    def make() -> merge.Change:
        change = merge.put(spot, {"command": "x"})
        if (text := next(others, None)) is not None:
            path.write_text(text)  # the client, at the worst moment
        return change

    merge.carry_out(make)
    assert jsonc.read(path.read_text()) == {"two": 2, "mcpServers": {"pytest-recall": {"command": "x"}}}
    assert files.backup_of(path).read_text() == '{"two": 2}'
