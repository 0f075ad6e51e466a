"""`serve --http`: the main job over streamable HTTP on loopback, and nobody else's requests."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

pytestmark = pytest.mark.anyio

TESTS = {"test_a.py": "def test_one(): ...\ndef test_two(): assert 1 == 2\n"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def command(project, *words: str) -> list[str]:
    return [sys.executable, "-m", "pytest_recall", "serve", "--project", str(project), "--json", *words]


@contextmanager
def served(project, *words: str, **env: str) -> Iterator[dict]:
    """What the server says of itself once it serves; ended by a signal, as a service manager would."""
    process = subprocess.Popen(
        command(project, "--http", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **env},
    )
    with process:
        try:
            yield json.loads(process.stdout.readline()) | {"process": process}
        finally:
            process.terminate()
            process.wait(20)


def speak(told: dict, **headers: str) -> httpx2.Response:
    usual = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {told['token']}"}
    return httpx2.post(told["url"], json=HELLO, headers={**usual, **headers})


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[dict]:
    """One server for all that only knock at its door."""
    project = tmp_path_factory.mktemp("served")
    home = tmp_path_factory.mktemp("home")
    with served(project, HOME=str(home), XDG_STATE_HOME=str(home)) as said:
        yield said


async def test_real_clients_of_both_eras_do_the_main_job_and_share_one_memory(make_project):
    with served(make_project(TESTS)) as told:
        headers = {"Authorization": f"Bearer {told['token']}"}
        known = []
        for mode in ("auto", "legacy"):
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as web,
                Client(streamable_http_client(told["url"], http_client=web), mode=mode) as agent,
            ):
                answer = (await agent.call_tool("run_tests", {})).structured_content
                assert answer["counts"] == {"collected": 2, "passed": 1, "failed": 1}
                known.insert(0, answer["run_id"])
                runs = (await agent.call_tool("test_history", {"view": "runs"})).structured_content
                assert [run["run_id"] for run in runs["runs"]] == known


def test_it_listens_on_loopback_only_and_makes_a_token_of_its_own(told):
    assert told["url"].startswith("http://127.0.0.1:")
    assert len(told["token"]) >= 32
    assert speak(told).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x", "Bearer x{token}"],
)
def test_without_the_token_nothing_is_told(told, authorization):
    answer = speak(told, authorization=authorization.format(**told))
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_request_without_any_authorization_is_refused(told):
    assert httpx2.post(told["url"], json=HELLO).status_code == 401
    assert httpx2.get(told["url"]).status_code == 401


def test_a_page_of_another_origin_is_refused_even_with_the_token(told):
    port = told["url"].split(":")[2].partition("/")[0]
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{int(port) + 1}",
        f"https://127.0.0.1:{port}",
    ):
        assert speak(told, origin=origin).status_code == 403, origin
    assert speak(told, origin=f"http://127.0.0.1:{port}").status_code == 200


def test_a_name_that_was_bent_to_loopback_is_refused(told):
    for host in ("evil.example", "127.0.0.1:1", "127.0.0.1.evil.example"):
        assert speak(told, host=host).status_code == 421, host


def test_a_token_that_is_named_stays_the_same_and_a_short_one_is_refused(tmp_path):
    token = "a-secret-of-thirty-characters."
    with served(tmp_path, PYTEST_RECALL_HTTP_TOKEN=token) as told:
        assert told["token"] == token
    done = subprocess.run(
        command(tmp_path, "--http"),
        env={**os.environ, "PYTEST_RECALL_HTTP_TOKEN": "hush"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert "at least 16" in json.loads(done.stdout)["error"]
    assert "hush" not in done.stdout + done.stderr


def test_a_project_cannot_choose_the_token(tmp_path):
    (tmp_path / ".env").write_text("PYTEST_RECALL_HTTP_TOKEN=known-to-everybody-who-reads-it\n")
    done = subprocess.run(
        command(tmp_path, "--http"), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 4
    assert "http_token" in json.loads(done.stdout)["error"]


def test_a_port_that_is_taken_is_said_in_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            command(tmp_path, "--http", port), capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 4
    assert f"Port {port} of 127.0.0.1" in json.loads(done.stdout)["error"]


async def test_a_signal_ends_the_server_and_the_run_under_way(make_project):
    project = make_project(
        {
            "test_a.py": "import os, time\ndef test_a():\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(300)\n"
        }
    )
    with served(project) as told:
        headers = {"Authorization": f"Bearer {told['token']}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as web,
            Client(streamable_http_client(told["url"], http_client=web), mode="legacy") as agent,
        ):
            run = (await agent.call_tool("run_tests", {"wait_s": 0})).structured_content
            assert run["status"] == "running"
            told["process"].send_signal(signal.SIGTERM)
            told["process"].wait(20)
    runs = subprocess.run(
        [sys.executable, "-m", "pytest_recall", "history", "runs", "--project", str(project), "--json"],
        capture_output=True,
        check=True,
    )
    assert [one["status"] for one in json.loads(runs.stdout)["runs"]] == ["cancelled"]
