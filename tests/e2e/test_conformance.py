"""The protocol's own conformance suite against the real server over streamable HTTP: every scenario that asks for no special server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Those that need no tools, prompts or resources made for the suite. (`dns-rebinding-protection` is for servers
# without authentication; what it asks is in test_server_http.py.)
GENERIC = (
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
)
# The suite knows no bearer tokens: Node brings ours along.
BEARER = """
const token = process.env.MCP_TOKEN;
const plain = globalThis.fetch;
globalThis.fetch = (url, options = {}) => {
  const headers = new Headers(options.headers);
  headers.set("authorization", `Bearer ${token}`);
  return plain(url, { ...options, headers });
};
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    (project / "test_a.py").write_text("def test_a(): ...\n")
    home = str(tmp_path_factory.mktemp("home"))
    server = subprocess.Popen(
        [sys.executable, "-m", "pytest_recall", "serve", "--http", "--json", "--project", str(project)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "HOME": home, "XDG_STATE_HOME": home},
    )
    with server:
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()


@pytest.mark.parametrize("scenario", GENERIC)
def test_the_conformance_suite_is_content(scenario, from_npm, served, tmp_path):
    bearer = tmp_path / "bearer.cjs"
    bearer.write_text(BEARER)
    done = subprocess.run(
        [
            *from_npm("conformance"),
            "server",
            "--url",
            served["url"],
            "--scenario",
            scenario,
            "-o",
            str(tmp_path),
        ],
        env={**os.environ, "NODE_OPTIONS": f"--require={bearer}", "MCP_TOKEN": served["token"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    [report] = Path(tmp_path).rglob("checks.json")
    checks = json.loads(report.read_text("utf-8"))
    assert [check for check in checks if check["status"] not in {"SUCCESS", "INFO"}] == [], done.stdout
    assert "SUCCESS" in {check["status"] for check in checks}
    assert done.returncode == 0, done.stdout + done.stderr
