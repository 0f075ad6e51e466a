"""Plain pytest with the plugin: inert unless asked, and then one file in the inbox, whatever becomes of the session."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "recall_probe"
ENTRY = "[pytest11]\nrecall = recall_probe.plugin\n"


class Plain:
    """A project whose interpreter has the plugin, as an installer leaves it."""

    def __init__(self, probe):
        self.python, self.project, self.folder = probe.python, probe.project, probe.folder
        site = probe.folder / "site"
        info = site / "pytest_recall_plugin-0.1.0.dist-info"
        info.mkdir(parents=True)
        (site / "recall_probe").symlink_to(SOURCES)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-recall-plugin\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(ENTRY)
        self.env = {
            **probe.env,
            "PYTHONPATH": str(site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(probe.folder),
        }
        self.env.pop("PYTEST_RECALL", None)
        self.write = probe.write

    def run(self, *args, **env):
        command = [self.python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *args]
        return subprocess.run(
            command, cwd=self.project, env={**self.env, **env}, check=False, capture_output=True, text=True
        )

    def files(self, store=None):
        return sorted((store or self.project / ".pytest-recall").glob("inbox/*.jsonl"))

    def facts(self, store=None):
        (path,) = self.files(store)
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def plain(probe):
    return Plain(probe)


def of(facts, kind, **where):
    return [f for f in facts if f["e"] == kind and all(f.get(k) == v for k, v in where.items())]


MIXED = """
    import pytest
    @pytest.fixture
    def broken(): raise RuntimeError("no setup")
    @pytest.fixture
    def late():
        yield
        raise RuntimeError("no teardown")
    def test_good(): pass
    def test_bad(): assert 1 == 2
    def test_setup(broken): pass
    def test_teardown(late): pass
"""


def test_every_failure_of_a_plain_run_is_in_one_file_and_one_line_says_where(plain):
    plain.write({"test_x.py": MIXED, "test_broken.py": "import nowhere\n"})
    before = plain.run("--continue-on-collection-errors")
    assert plain.files() == []
    ran = plain.run("--recall", "--continue-on-collection-errors")
    assert ran.returncode == before.returncode == 1
    lines = [line for line in ran.stdout.splitlines() if line not in before.stdout.splitlines()]
    said = [line for line in lines if line.startswith("pytest-recall:")]
    assert said == [f"pytest-recall: this run is kept in .pytest-recall/inbox/{plain.files()[0].name}"]
    facts = plain.facts()
    assert (facts[0]["e"], facts[-1]["e"]) == ("capture", "end")
    failed = {(f["id"], f["when"]): f["failure"]["type"] for f in of(facts, "phase", outcome="failed")}
    assert failed == {
        ("test_x.py::test_bad", "call"): "AssertionError",
        ("test_x.py::test_setup", "setup"): "RuntimeError",
        ("test_x.py::test_teardown", "teardown"): "RuntimeError",
    }
    assert [f["id"] for f in of(facts, "collect", outcome="failed")] == ["test_broken.py"]
    assert (plain.project / ".pytest-recall" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("ini", "args", "env", "kept"),
    [
        ("", ["--auto-capture-workflow"], {}, True),
        ("recall = true", [], {}, True),
        ("", [], {"PYTEST_RECALL": "1"}, True),
        ("recall = true", [], {"PYTEST_RECALL": "0"}, False),
        ("recall = true", [], {"PYTEST_RECALL": ""}, True),
        ("", [], {"PYTEST_RECALL": " "}, False),
        ("", [], {}, False),
        ("", ["--recall", "--collect-only"], {}, False),
        ("", ["--recall", "--help"], {}, False),
        ("", ["--recall", "--markers"], {}, False),
        ("", ["--recall", "--setup-only"], {}, False),
        ("", ["--recall", "--setup-plan"], {}, False),
        ("", ["--recall", "--setup-show"], {}, True),
        ("", ["--recall", "nowhere.py"], {}, False),
    ],
)
def test_only_a_run_that_was_asked_for_is_kept(plain, ini, args, env, kept):
    plain.write({"pytest.ini": f"[pytest]\n{ini}\n", "test_x.py": "def test_a(): pass\n"})
    plain.run(*args, **env)
    assert len(plain.files()) == kept


def test_an_ini_value_that_is_no_truth_value_is_told(plain):
    plain.write({"pytest.ini": "[pytest]\nrecall = maybe\n", "test_x.py": "def test_a(): pass\n"})
    ran = plain.run()
    (said,) = [line for line in ran.stdout.splitlines() if "pytest-recall:" in line]
    assert ("not kept" in said, "maybe" in said, ran.returncode) == (True, True, 0)
    assert "pytest-recall:" not in plain.run(PYTEST_RECALL="0").stdout
    assert plain.files() == []


def test_workers_write_into_the_one_file(plain, needs):
    needs("xdist")
    plain.write({"test_x.py": MIXED})
    assert "recall" in plain.run("--recall", "-n2").stdout
    facts = plain.facts()
    assert {f["worker"] for f in of(facts, "start")} <= {"gw0", "gw1"}
    assert len(of(facts, "start")) == len(of(facts, "finish")) == 4
    assert len(of(facts, "file")) == 1


def test_attempts_of_a_rerun_are_apart(plain, needs):
    needs("pytest_rerunfailures")
    plain.write(
        {
            "test_x.py": """
            tries = []
            def test_a():
                tries.append(1)
                assert len(tries) == 3
        """
        }
    )
    plain.run("--recall", "--reruns=2")
    assert len(of(plain.facts(), "phase", outcome="rerun")) == 2


def test_facts_until_a_crash_are_kept(plain):
    plain.write({"test_x.py": "import os\ndef test_a(): pass\ndef test_b(): os.kill(os.getpid(), 9)\n"})
    assert plain.run("--recall").returncode == -9
    facts = plain.facts()
    [started] = of(facts, "start", id="test_x.py::test_b")
    # In one fact, or in two where another plugin may do something in between.
    [ended] = [started.pop("was")] if "was" in started else [[f["id"]] for f in of(facts, "finish")]
    assert ended[0] == "test_x.py::test_a"
    assert started == {"e": "start", "t": started["t"], "id": "test_x.py::test_b"}


def test_pytests_that_tests_start_are_not_kept(plain):
    inner = (
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pytest', '-q', 'inner'], check=True)"
    )
    plain.write(
        {
            "inner/test_y.py": "def test_y(): pass\n",
            "test_x.py": f"""
            import pytest
            def test_process(): exec({inner!r})
            def test_here(): assert pytest.main(["-q", "inner"]) == 0
        """,
        }
    )
    ran = plain.run("--recall", "test_x.py", PYTEST_RECALL="1")
    assert "2 passed" in ran.stdout
    assert {f["id"] for f in of(plain.facts(), "start")} == {
        "test_x.py::test_process",
        "test_x.py::test_here",
    }


NESTED = {
    "inner/test_y.py": """
        import subprocess, sys, pytest
        def test_y(recall):
            recall.metadata(who="inner")
            assert pytest.main(["-q", "innermost"]) == 1
            assert subprocess.run([sys.executable, "-m", "pytest", "-q", "innermost"]).returncode == 1
    """,
    "innermost/test_z.py": "def test_z(): assert 0\n",
    "test_x.py": """
        import subprocess, sys, pytest
        def test_here_and_again(recall):
            assert pytest.main(["-q", "inner"]) == 0
            assert pytest.main(["-q", "innermost"]) == 1
            recall.metadata(who="outer")
        def test_here_and_in_a_child(recall):
            assert pytest.main(["-q", "innermost"]) == 1
            ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "inner"], stdout=subprocess.PIPE)
            assert ran.returncode == 0 and b"pytest-recall" not in ran.stdout
            recall.metadata(who="outer")
    """,
}


def test_a_pytest_within_a_pytest_within_a_test_is_not_kept(plain):
    """The first takes PYTEST_CURRENT_TEST away, by which the next would know."""
    plain.write(NESTED)
    ran = plain.run("test_x.py", PYTEST_RECALL="1")
    assert "2 passed" in ran.stdout
    facts = plain.facts()
    assert {f["id"] for f in of(facts, "start")} == {
        "test_x.py::test_here_and_again",
        "test_x.py::test_here_and_in_a_child",
    }
    assert [fact["f"] for fact in of(facts, "ctx")] == [[["who", "outer"]]] * 2


def test_nor_is_it_in_a_run_of_pytest_recalls_own(plain, probe):
    probe.env = {**plain.env, "PYTEST_RECALL": "1"}
    plain.write(NESTED)
    ran = probe.run("test_x.py")
    assert set(map(tuple, ran.verdicts().values())) == {("passed",)}
    assert [fact["f"] for fact in ran.all("ctx")] == [[["who", "outer"]]] * 2
    assert plain.files() == []


def test_one_after_another_in_one_process_is_kept(plain):
    plain.write({"test_x.py": "def test_a(): pass\n", "nowhere/conftest.py": "import not_there\n"})
    twice = """if True:
        import pytest
        assert pytest.main(["--recall", "nowhere"]) == 4
        assert pytest.main(["--recall", "test_x.py"]) == 0
        assert pytest.main(["--recall", "test_x.py"]) == 0
    """
    subprocess.run([plain.python, "-c", twice], cwd=plain.project, env=plain.env, check=True)
    assert len(plain.files()) == 3


def test_a_store_that_cannot_be_written_costs_a_line_and_nothing_else(plain):
    plain.write({"test_x.py": "def test_a(): pass\n", ".pytest-recall": "a file\n"})
    plain.write({"state": "a file\n"})
    # pytest-asyncio warns of itself on some versions, and that is an error then
    ran = plain.run(
        "--recall", "-W", "error", "-p", "no:asyncio", XDG_STATE_HOME=str(plain.project / "state")
    )
    assert ran.returncode == 0
    assert ran.stdout.count("pytest-recall:") == 1
    assert "not kept" in ran.stdout
    assert "1 passed" in ran.stdout


def test_a_store_that_goes_away_meanwhile_disturbs_nobody(plain):
    plain.write(
        {
            "test_x.py": """
            import os, shutil
            def test_a(): shutil.rmtree(".pytest-recall")
            def test_b(): os.closerange(3, 200)
            def test_c(): pass
        """
        }
    )
    ran = plain.run("--recall", "-s")
    assert "3 passed" in ran.stdout


def test_a_store_that_is_gone_at_the_end_is_told(plain):
    plain.write({"test_x.py": "import shutil\ndef test_a(): shutil.rmtree('.pytest-recall')\n"})
    ran = plain.run("--recall")
    (said,) = [line for line in ran.stdout.splitlines() if "pytest-recall:" in line]
    assert ("not kept" in said, "taken away" in said, ran.returncode) == (True, True, 0)


def test_a_plugin_s_session_that_only_shows_what_it_collected_is_not_kept(plain):
    plain.write(
        {
            "conftest.py": """
                from _pytest.main import wrap_session
                def pytest_cmdline_main(config):
                    return wrap_session(config, lambda config, session: session.perform_collect() and None)
            """,
            "test_x.py": "def test_a(): pass\n",
        }
    )
    assert plain.run("--recall").returncode == 0
    assert plain.files() == []


@pytest.mark.parametrize("ending", ["raise KeyboardInterrupt", "pytest.exit('bye', 7)", "raise OSError"])
def test_a_session_that_was_broken_off_before_any_test_is_kept(plain, ending):
    plain.write(
        {
            "conftest.py": f"import pytest\ndef pytest_collection(session): {ending}\n",
            "test_x.py": "def test_a(): pass\n",
        }
    )
    plain.run("--recall")
    assert of(plain.facts(), "interrupt") + of(plain.facts(), "internalerror")


@pytest.mark.parametrize(("args", "said"), [([], 1), (["--no-summary"], 0)])
def test_the_one_line_comes_with_any_exit_code(plain, args, said):
    plain.write({"test_x.py": "import pytest\ndef test_a(): pytest.exit('bye', 7)\n"})
    ran = plain.run("--recall", *args)
    assert (ran.returncode, ran.stdout.count("pytest-recall: this run is kept")) == (7, said)
    assert len(plain.files()) == 1


def test_a_session_that_calls_its_own_start_wrong_usage_is_not_kept(plain):
    plain.write(
        {
            "conftest.py": "import pytest\ndef pytest_sessionstart(session): raise pytest.UsageError('set DB_URL')\n",
            "test_x.py": "def test_a(): pass\n",
        }
    )
    ran = plain.run("--recall")
    assert ran.returncode == 4
    assert plain.files() == []


def test_what_the_tests_of_a_test_tell_is_not_that_test_s(plain):
    inner = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "inner/test_x.py"]
    inner[0] = plain.python
    plain.write(
        {
            "inner/test_x.py": "def test_a(recall): recall.metadata(who='inner')\n",
            "test_x.py": f"""
                import subprocess
                def test_a(recall):
                    assert subprocess.run({inner!r}).returncode == 0
                    recall.metadata(who="outer")
            """,
        }
    )
    plain.run("--recall", "test_x.py")
    assert [fact["f"] for fact in of(plain.facts(), "ctx")] == [[["who", "outer"]]]


@pytest.mark.parametrize("launched", [False, True])
def test_a_process_that_a_test_starts_finds_its_test(plain, probe, launched):
    """On Python 3.7, too, which has no `importlib.metadata` to say whether we are installed."""
    plain.write(
        {
            "test_x.py": """
                import subprocess, sys
                def test_a():
                    told = "from recall_probe import context; context.metadata(who='child')"
                    subprocess.run([sys.executable, "-c", told], check=True)
            """
        }
    )
    if launched:
        probe.env = plain.env
        entries = probe.run().all("ctx")
    else:
        plain.run("--recall")
        entries = of(plain.facts(), "ctx")
    assert [(entry["id"], entry["f"]) for entry in entries] == [("test_x.py::test_a", [["who", "child"]])]


@pytest.mark.parametrize(
    "files",
    [{".env": "PYTEST_RECALL_SPACE=ci\n"}, {"pyproject.toml": "[tool.pytest-recall]\nspace = 'ci'\n"}],
)
def test_the_space_is_what_the_settings_say(plain, files):
    if "pyproject.toml" in files and sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    plain.write({"test_x.py": "def test_a(): pass\n", **files})
    plain.run("--recall")
    assert plain.facts()[0]["space"] == "ci"


def test_dist_alone_distributes_nothing(plain, needs):
    needs("xdist")
    plain.write({"pytest.ini": "[pytest]\naddopts = --dist loadgroup\n", "test_x.py": "def test_a(): pass\n"})
    plain.run("--recall")
    facts = plain.facts()
    assert [fact["id"] for fact in of(facts, "start")] == ["test_x.py::test_a"]
    assert of(facts, "collected", n=1)


def test_a_broken_conftest_is_kept_with_its_cause(plain):
    plain.write({"conftest.py": "import nowhere\n", "test_x.py": "def test_a(): pass\n"})
    assert plain.run("--recall").returncode == 4
    (told,) = of(plain.facts(), "startup")
    assert told["path"].endswith("conftest.py")
    assert "nowhere" in told["cause"]


def test_pytest_recalls_own_run_is_not_kept_twice(plain, probe):
    probe.env = {**plain.env, "PYTEST_RECALL": "1"}
    probe.write(
        {"pytest.ini": "[pytest]\nrecall = true\naddopts = --recall\n", "test_x.py": "def test_a(): pass\n"}
    )
    ran = probe.run()
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert "pytest-recall:" not in ran.output
    assert plain.files() == []


@pytest.mark.parametrize("source", ["environment", "dotenv", "pyproject"])
def test_the_store_is_where_the_settings_say(plain, source):
    if source == "pyproject" and sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    files = {
        "environment": {},
        "dotenv": {".env": "OTHER=1\nexport PYTEST_RECALL_STORE_FOLDER='kept here'\n"},
        "pyproject": {"pyproject.toml": '[tool.pytest-recall]\nstore_folder = "kept here"\n'},
    }[source]
    plain.write({"test_x.py": "def test_a(): pass\n", **files})
    env = {"PYTEST_RECALL_STORE_FOLDER": "kept here"} if source == "environment" else {}
    plain.run("--recall", **env)
    assert plain.facts(plain.project / "kept here")


def test_worktrees_share_the_main_ones_store_and_a_subfolder_is_the_project(plain):
    plain.write({"test_x.py": "def test_a(): pass\n", "sub/keep": ""})
    git(plain, "init", "-q"), git(plain, "add", "."), git(plain, "commit", "-qm", "x")
    tree = plain.folder / "tree"
    git(plain, "worktree", "add", "-q", str(tree))
    plain.project, main = tree / "sub", plain.project
    plain.run("--recall", "../test_x.py")
    facts = plain.facts(main / ".pytest-recall")
    assert facts[0]["request"] == {"tests": ["test_x.py"]}
    (told,) = of(facts, "revision")
    assert told["commit"] == git(plain, "rev-parse", "HEAD").strip()
    assert told["dirty"] is False


def test_of_the_environment_only_what_a_ci_system_says_is_told(plain):
    plain.write({"test_x.py": "def test_a(): pass\n"})
    for name in ("CI", "GITHUB_ACTIONS"):
        plain.env.pop(name, None)
    plain.run("--recall", CI="true", GITHUB_ACTIONS="true", GITHUB_TOKEN="geheim", GITHUB_JOB="unit")
    head = plain.facts()[0]
    assert head["environ"] == {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_JOB": "unit"}
    assert "geheim" not in json.dumps(head)


def git(plain, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", *identity, *args], cwd=plain.project, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout
