"""Runs the probe as the launching side does: a throw-away cargo folder, a run folder, a project, an interpreter.

The interpreter is the one of these tests, or `PROBE_PYTHON` (nox runs the whole matrix through it).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PYTHON = os.environ.get("PROBE_PYTHON", sys.executable)
SOURCES = Path(__file__).parents[2] / "src" / "recall_probe"
LIMIT_S = 60.0
DUMP_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else None

ASK = """
import importlib.util, json, pytest, sys
names = ["xdist", "pytest_rerunfailures", "pytest_subtests", "pytest_asyncio", "pytest_randomly", "pytest_jsonreport"]
print(json.dumps({"python": sys.version_info[:2], "pytest": [int(n) for n in pytest.__version__.split(".")[:2]],
                  "have": [name for name in names if importlib.util.find_spec(name)]}))
"""


@dataclass
class Facts:
    """What one run left behind."""

    rc: int
    output: str
    facts: list
    run_dir: Path

    def __post_init__(self):
        self.facts = [unfolded for fact in self.facts for unfolded in _unfold(fact)]

    def all(self, kind, **where):
        return [f for f in self.facts if f["e"] == kind and all(f.get(k) == v for k, v in where.items())]

    def one(self, kind, **where):
        found = self.all(kind, **where)
        assert len(found) == 1, (kind, where, found, self.output)
        return found[0]

    def failure(self, test, **where):
        """The one failure of the test whose id ends with *test*."""
        found = [f for f in self.all("phase", **where) if f["id"].endswith(test) and "failure" in f]
        assert len(found) == 1, (test, found, self.output)
        return found[0]["failure"]

    def verdicts(self):
        """{test name: [category of each phase that tells]} in pytest's own words."""
        told = {}
        for fact in self.all("phase"):
            if fact["when"] == "call" or fact["outcome"] != "passed":
                told.setdefault(fact["id"].partition("::")[2], []).append(fact.get("status", fact["outcome"]))
        return told

    def json(self, name):
        path = self.run_dir / name
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def stacks(self):
        return {path.name: path.read_text("utf-8", "replace") for path in self.run_dir.glob("stack-*.txt")}


def _unfold(fact):
    """What is folded into other facts: the `finish` of the test before a `start`, the call that passed into `finish`."""
    if "was" in fact:
        test, *took = fact.pop("was")
        phases = {when: micro / 1e6 for when, micro in zip(("setup", "call", "teardown"), took, strict=True)}
        yield from _unfold({"e": "finish", "t": fact["t"], "id": test, "teardown_ok": True, **phases})
    if fact["e"] == "finish" and "call" in fact:
        told = {"e": "phase", "when": "call", "outcome": "passed", "dur": fact["call"]}
        yield dict(told, **{key: fact[key] for key in ("t", "id", "worker") if key in fact})
    yield fact


@dataclass
class Launched:
    """A run that goes on: for the tests of the supervisor."""

    process: subprocess.Popen
    run_dir: Path
    _offset: int = 0
    _facts: list = field(default_factory=list)

    def facts(self):
        path = self.run_dir / "events.jsonl"
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if line.endswith(b"\n"):
                        self._offset += len(line)
                        self._facts.append(json.loads(line))
        return self._facts

    def wait_for(self, condition):
        """Wait until *condition* holds (of nothing) and return what it returned; fail after the limit."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError("it did not happen")

    def wait_for_fact(self, kind, **where):
        return self.wait_for(
            lambda: next(
                (f for f in self.facts() if f["e"] == kind and all(f.get(k) == v for k, v in where.items())),
                None,
            )
        )

    def wait_for_file(self, path):
        self.wait_for(path.exists)
        return self.wait_for(path.read_text)

    def tell(self, letters):
        self.process.stdin.write(letters)
        self.process.stdin.flush()

    def end(self):
        """Wait for the end and return the facts."""
        self.process.wait(LIMIT_S)
        output = (self.run_dir / "output").read_text("utf-8", "replace")
        return Facts(self.process.returncode, output, list(self.facts()), self.run_dir)


class Probe:
    def __init__(self, folder):
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        cargo = folder / "cargo"
        shutil.copytree(SOURCES, cargo / "recall_probe", ignore=shutil.ignore_patterns("__pycache__"))
        self.boot = cargo / "recall_probe" / "boot.py"
        self.python = PYTHON
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_", "RECALL_"))}
        # What xdist numbers there stands beside everybody's, and is cleaned by anybody: for half a minute, once.
        self.env["TMPDIR"] = str(folder / "temporary")
        (folder / "temporary").mkdir()
        self._runs = 0
        self._launched = []
        self.write({"pytest.ini": "[pytest]\n"})

    def write(self, files):
        """*files* {path: text} into the project, texts dedented."""
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def launch(self, *args, **cfg):
        self._runs += 1
        run_dir = self.folder / f"run{self._runs}"
        run_dir.mkdir(0o700)
        settings = {
            "args": ["-p", "no:cacheprovider", "-p", "no:randomly", "--show-capture=no", *args],
            "supervise": True,
            "json_report": None,
            "dump_signal": DUMP_SIGNAL,
            "list": "none",
            "collect_only": False,
            "locals": False,
            "max_text": 20000,
            "json_report_most": 2000,
        }
        (run_dir / "cfg.json").write_text(json.dumps({**settings, **cfg}))
        with (run_dir / "output").open("wb") as output:
            process = subprocess.Popen(
                [self.python, str(self.boot), str(run_dir)],
                cwd=self.project,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        launched = Launched(process, run_dir)
        self._launched.append(launched)
        return launched

    def watch(self, process, run_dir):
        """A run that somebody else started."""
        return Launched(process, run_dir)

    def run(self, *args, **cfg):
        return self.launch(*args, **cfg).end()

    def close(self):
        for launched in self._launched:
            launched.process.stdin.close()  # the supervisor kills all that is left
            launched.process.wait(LIMIT_S)


@pytest.fixture
def probe(tmp_path):
    found = Probe(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared_probe(tmp_path_factory):
    """For modules that run one project once and look at it from many sides."""
    found = Probe(tmp_path_factory.mktemp("probe"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def target():
    """What the target's interpreter has: {"python": [3, 11], "pytest": [9, 2], "have": ["xdist", …]}."""
    return json.loads(subprocess.run([PYTHON, "-c", ASK], check=True, capture_output=True, text=True).stdout)


@pytest.fixture
def needs(target):
    def need(*modules):
        missing = [name for name in modules if name not in target["have"]]
        if missing:
            pytest.skip(f"the target has no {', '.join(missing)}")

    return need


@pytest.fixture(scope="session")
def json_report_folder():
    import importlib.util

    return str(Path(importlib.util.find_spec("pytest_jsonreport").origin).parent)
