"""Metrics at the command line, read by those who shall read them: promtool, Prometheus, its Pushgateway."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pytest_recall.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "observability"

GREEN = {
    "test_a.py": """
        import pytest
        def test_one(): ...
        def test_two(): ...
        @pytest.mark.skip
        def test_three(): ...
    """
}
RED = """
def test_one(): assert 1 == 2
def test_two(fixture_that_is_not_there): ...
def test_three(): ...
"""


def needs(program: str):
    """Skip without *program*, which Debian has in its package `prometheus` or `prometheus-pushgateway`."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
def recall(capfd):
    """`recall(project, "metrics", …)`: what the command prints; it ends with *code*."""

    def call(project: Path, *words: str, code: int = 0) -> str:
        capfd.readouterr()
        ended = main([words[0], "--project", str(project), *words[1:]])
        out, err = capfd.readouterr()
        assert ended == code, out + err
        return out or err

    return call


def values(text: str) -> dict[str, float]:
    """What an exposition says, but zeros: `name{labels but the project}` → value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(
                value for name, value in sorted(sample.labels.items()) if name not in {"project", "le"}
            )
            if sample.value and "le" not in sample.labels:
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def promtool(*words: str, stdin: str = "") -> str:
    done = subprocess.run(["promtool", *words], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(look, what: str, seconds: float = 60.0):
    """The first true answer of *look*."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (OSError, urllib.error.URLError):  # it is still starting
            pass
        time.sleep(0.1)
    pytest.fail(f"waited {seconds} s for {what}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def started(*command: str, **more):
    process = subprocess.Popen(
        [*command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@needs("promtool")
def test_errors_in_setup_and_collection_crashes_and_workers_are_told_as_they_were(
    make_project, recall, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist.plugin")
    project = make_project(GREEN)
    recall(project, "run")
    (project / "test_a.py").write_text(RED)
    recall(project, "run", "-n", "2", code=1)
    (project / "test_b.py").write_text("import os\ndef test_crash(): os._exit(1)\n")
    recall(project, "run", "test_b.py", code=1)
    (project / "test_b.py").write_text("import nothing_of_that_name\n")
    recall(project, "run", code=2)
    file = tmp_path / "project.prom"
    answer = json.loads(recall(project, "metrics", "--json", "-o", str(file)))
    assert answer == {
        "project": "project",
        "runs": 4,
        "failing": answer["failing"],
        "flaky": 0,
        "broken": 0,
        "file": str(file),
    }
    text = file.read_text()
    assert promtool("check", "metrics", stdin=text) == ""
    found = values(text)
    expected = {
        "pytest_runs_total{local,passed,finished}": 1,
        "pytest_runs_total{local,failed,finished}": 1,
        "pytest_runs_total{local,crashed,crashed}": 1,
        "pytest_runs_total{local,collection_failed,collection_failed}": 1,
        "pytest_test_failures_total{failed,local}": 1,
        "pytest_test_failures_total{error,local}": 1,
        "pytest_test_failures_total{crashed,local}": 1,
        "pytest_test_failures_total{collection_error,local}": 1,
        "pytest_tests_total{passed,local}": 3,
        "pytest_tests_total{skipped,local}": 1,
        "pytest_test_duration_seconds_count{local}": 5,  # not of the one that was skipped, nor of the crashed one
        # The last run of the suite could not collect it all; that of a part of it crashed.
        "pytest_last_run_status{all,local,collection_failed}": 1,
        "pytest_last_run_tests{error,all,local}": 1,
        "pytest_last_run_status{part,local,crashed}": 1,
        "pytest_last_run_tests{crashed,part,local}": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["pytest_session_duration_seconds{all,local}"] > 0
    assert abs(found["pytest_last_run_completion_timestamp_seconds{all,local}"] - time.time()) < 120
    assert "pytest_coverage" not in "".join(found)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["project.prom"]


def test_the_file_is_written_after_every_run_where_that_is_set(make_project, recall, tmp_path, monkeypatch):
    project, file = make_project(GREEN), tmp_path / "tests.prom"
    monkeypatch.setenv("PYTEST_RECALL_METRICS_FILE", str(file))
    pytest.importorskip("pytest_cov")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_cov.plugin")
    recall(project, "run", "--coverage")
    found = values(file.read_text())
    assert found["pytest_runs_total{local,passed,finished}"] == 1
    assert found["pytest_coverage_percent{all,local}"] == 100 * found["pytest_coverage_ratio{all,local}"] > 0
    # What cannot be written is said beside the result, and changes nothing of it.
    monkeypatch.setenv("PYTEST_RECALL_METRICS_FILE", str(tmp_path))
    answer = json.loads(recall(project, "run", "--json"))
    assert answer["status"] == "passed"
    assert answer["warnings"][0].startswith("metrics not written: ")
    # Where this machine writes is not for a project to say.
    monkeypatch.delenv("PYTEST_RECALL_METRICS_FILE")
    (project / "pyproject.toml").write_text('[tool.pytest-recall]\nmetrics_file = "../out.prom"\n')
    assert "may not widen" in recall(project, "run", code=4)


def test_what_is_no_place_for_a_file_is_refused_before_anything_is_written(make_project, recall, tmp_path):
    project = make_project(GREEN)
    for command in ("metrics", "inventory"):
        for place, why in (
            ("/dev/null", "is a device"),
            (str(tmp_path), "is a folder"),
            (str(tmp_path / "none" / "x"), "There is no folder"),
        ):
            assert why in recall(project, command, "-o", place, code=4)
    assert "no address of a Pushgateway" in recall(project, "metrics", "--push", "file:///etc/passwd", code=4)
    assert "leave -o" in recall(project, "metrics", "--serve", "0", "-o", str(tmp_path / "x"), code=4)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


@needs("prometheus")
def test_prometheus_scrapes_two_runs_and_fires_the_alert_on_the_regression(make_project, recall, tmp_path):
    project = make_project(GREEN)
    recall(project, "run")
    command = (sys.executable, "-m", "pytest_recall", "metrics", "--project", str(project), "--serve", "0")
    with started(*command) as exporter:
        url = exporter.stderr.readline().split()[0]
        config, here = tmp_path / "prometheus.yml", f"127.0.0.1:{free_port()}"
        shutil.copy(EXAMPLES / "alerts.yml", tmp_path)
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [alerts.yml]\n"
            "scrape_configs: [{job_name: tests, scrape_timeout: 1s, static_configs: "
            f"[{{targets: ['{urllib.parse.urlsplit(url).netloc}']}}]}}]\n"
        )
        storage = f"--storage.tsdb.path={tmp_path / 'data'}"
        with started("prometheus", f"--config.file={config}", storage, f"--web.listen-address={here}"):

            def query(expression: str) -> list[dict]:
                words = urllib.parse.urlencode({"query": expression})
                answer = json.loads(get(f"http://{here}/api/v1/query?{words}"))
                assert answer["status"] == "success", expression
                return answer["data"]["result"]

            def firing() -> list[str]:
                alerts = json.loads(get(f"http://{here}/api/v1/alerts"))["data"]["alerts"]
                return sorted(each["labels"]["alertname"] for each in alerts if each["state"] == "firing")

            failed = 'sum(pytest_last_run_tests{outcome=~"failed|error"})'
            until(lambda: query(f"count_over_time({failed}[1m:1s]) > 1"), "two scrapes of the first run")
            assert query(failed)[0]["value"][1] == "0"
            assert firing() == []
            (project / "test_a.py").write_text(RED)
            recall(project, "run", code=1)
            until(firing, "the alert")
            assert firing() == ["TestFailuresRising"]
            assert query(failed)[0]["value"][1] == "2"
            assert float(query("sum(increase(pytest_test_failures_total[1m]))")[0]["value"][1]) > 0
            # Every panel of the dashboard asks for what is there.
            for panel in json.loads((EXAMPLES / "dashboard.json").read_text())["panels"]:
                for target in panel["targets"]:
                    asked = target["expr"].replace("$project", "project").replace("$space", "local")
                    found = query(asked)
                    assert found or "coverage" in asked, panel["title"]


@needs("prometheus-pushgateway")
def test_a_pushgateway_takes_them(make_project, recall):
    project, port = make_project(GREEN), free_port()
    assert "did not take" in recall(project, "metrics", "--push", f"http://127.0.0.1:{port}", code=4)
    recall(project, "run")
    with started("prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"):
        until(lambda: get(f"http://127.0.0.1:{port}/-/ready"), "the Pushgateway")
        for _ in range(2):  # the second replaces the first
            recall(project, "metrics", "--push", f"http://127.0.0.1:{port}")
        text = get(f"http://127.0.0.1:{port}/metrics")
    [line] = re.findall(r'^pytest_runs_total\{.*status="passed".*', text, re.MULTILINE)
    assert 'project="project"' in line
    assert line.endswith(" 1")


@needs("promtool")
def test_the_rules_do_what_they_are_for():
    promtool("check", "rules", str(EXAMPLES / "alerts.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(EXAMPLES / "alerts_test.yml"))


NASTY = "</script><img src=x onerror=alert(1)> | [a](http://evil) `b` @me *c* \x1b[31m\u202e"


def test_the_inventory_tells_state_age_and_notes_of_every_failure(make_project, recall, tmp_path):
    project = make_project(
        {
            "test_a.py": f"""
                def test_open(): raise ValueError({NASTY!r})
                def test_mended(): assert 1 == 2
                def test_gone(): assert "gone" == 1
            """
        }
    )
    recall(project, "run", code=1)
    source = (project / "test_a.py").read_text().replace("1 == 2", "2 == 2")
    (project / "test_a.py").write_text(
        "".join(line for line in source.splitlines(True) if "gone" not in line)
    )
    recall(project, "run", code=1)
    recall(project, "note", "test_a.py::test_open", "ask the shop's owner | today", "--kind", "remedy")
    answer = json.loads(recall(project, "inventory", "--json"))
    states = {line["tests"][0].partition("::")[2]: line["state"] for line in answer["failures"]}
    assert states["test_open"] == "failing"
    assert states["test_mended"] == "mended"
    first = answer["failures"][0]
    assert (first["error"], first["runs"]) == ("ValueError", 2)
    assert "ask the shop's owner" in first["notes"][0]
    file = tmp_path / "FAILURES.md"
    recall(project, "inventory", "-o", str(file))
    text = file.read_text()
    [row] = [line for line in text.splitlines() if "onerror" in line]
    assert "\x1b" not in row
    assert "\u202e" not in row
    # All of it stands in code spans, where nothing is markup; what is left are the cells.
    assert set(re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", row).replace("<br>", "")) <= set(
        "| failing0123456789 d-:"
    )
    assert row.count("|") == 9
    assert json.loads(recall(project, "inventory", "--format", "json"))["failures"] == answer["failures"]
    assert recall(project, "inventory").splitlines()[2:] == text.splitlines()[2:]
    assert recall(project, "inventory", "--limit", "1").count("| failing |") == 1


def test_an_empty_memory_is_no_error(make_project, recall):
    project = make_project(GREEN)
    assert "No failure is known" in recall(project, "inventory")
    assert "pytest_failing_tests" in recall(project, "metrics")
