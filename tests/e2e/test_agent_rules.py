"""The rules that projects copy for their agents: short, true to the tools as they are, and the hook does what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "examples" / "agents"
SKILL = AGENTS / ".claude/skills/pytest-recall/SKILL.md"
RULE = AGENTS / ".cursor/rules/pytest-recall.mdc"
RULES = [AGENTS / "AGENTS.md", RULE, SKILL]


def front(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8").split("---\n")[1])


@pytest.mark.anyio
async def test_what_the_rules_call_exists_with_those_arguments_and_values(make_project, connect):
    async with connect(make_project({})) as agent:
        tools = {
            tool.name: tool.input_schema["properties"] for tool in (await agent.client.list_tools()).tools
        }
    told = [
        (path.name, *found)
        for path in RULES
        for found in re.findall(r"`(\w+)\(([^`]*)\)`", path.read_text("utf-8"))
    ]
    assert len(told) >= 12
    for where, name, arguments in told:
        for key, value in re.findall(r'(\w+)=("[^"]*"|[^,\s)]+)', arguments):
            assert key in tools[name], (where, name, key)
            allowed = tools[name][key].get("enum")
            assert not allowed or json.loads(value) in allowed, (where, name, value)


def test_rules_are_short_and_have_the_heads_that_their_readers_ask_for():
    assert all(len(path.read_text("utf-8").splitlines()) <= 30 for path in RULES)
    skill = front(SKILL)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", skill["name"])
    assert skill["name"] == SKILL.parent.name
    assert len(skill["description"]) <= 1_024
    assert front(RULE).keys() == {"description", "globs", "alwaysApply"}
    assert (AGENTS / "CLAUDE.md").read_text("utf-8") == "@AGENTS.md\n"


@pytest.fixture
def shop(make_project) -> Path:
    root = make_project(
        {
            ".gitignore": "__pycache__\n.pytest-recall\n",
            "money.py": "RATE = 2\n",
            "words.py": "HELLO = 'hello'\n",
            "test_money.py": "import money\n\ndef test_rate(): assert money.RATE == 2\n",
            "test_words.py": "import words\n\ndef test_hello(): assert words.HELLO\n",
        }
    )
    shutil.copytree(AGENTS / ".claude", root / ".claude")
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "a shop")):
        subprocess.run(["git", "-C", root, *words], env={**os.environ, **who}, check=True)
    return root


def after_edit(root: Path, path: str, text: str) -> subprocess.CompletedProcess[str]:
    """Edit as Claude Code does, and run what its settings say, as it does."""
    (root / path).write_text(text)
    settings = json.loads((root / ".claude/settings.json").read_text("utf-8"))
    [entry] = settings["hooks"]["PostToolUse"]
    assert re.fullmatch(entry["matcher"], "Edit")
    [hook] = entry["hooks"]
    event = {
        "session_id": "s",
        "transcript_path": "/dev/null",
        "cwd": str(root),
        "hook_event_name": "PostToolUse",
        "tool_name": "Edit",
        "tool_input": {"file_path": str(root / path), "old_string": "", "new_string": text},
        "tool_response": {"success": True},
    }
    ours = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", hook["command"]],
        input=json.dumps(event),
        cwd=root,
        env={**os.environ, "PATH": ours, "CLAUDE_PROJECT_DIR": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=hook["timeout"],
    )


def test_the_hook_hands_a_red_edit_back_to_the_agent_and_keeps_quiet_otherwise(shop):
    command = [sys.executable, "-m", "pytest_recall", "run", "--project", str(shop)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0

    red = after_edit(shop, "money.py", "RATE = 3\n")
    assert red.returncode == 2, red.stdout + red.stderr
    answer = json.loads(red.stderr)
    assert answer["counts"] == {"failed": 1, "collected": 1}  # only what the edit reaches was run
    assert answer["failures"][0]["tests"] == ["test_money.py::test_rate"]
    assert len(red.stderr) <= 1_600

    broken = after_edit(shop, "money.py", "RATE = (\n")
    assert (broken.returncode, json.loads(broken.stderr)["status"]) == (2, "collection_failed")

    for path, text in (("money.py", "RATE = 2\n"), ("notes.md", "# notes\n")):
        green = after_edit(shop, path, text)
        assert (green.returncode, green.stdout, green.stderr) == (0, "", "")
