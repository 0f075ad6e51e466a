"""What a failure means, proven by reruns: real or chance, yours or older, or made by another test."""

import os
import shlex
import subprocess
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from pytest_recall import observing
from pytest_recall.answers import bundle
from pytest_recall.app import App, Origin
from pytest_recall.model import RunRequest

pytestmark = pytest.mark.anyio

ORIGIN = Origin(space="agent", source="mcp")


@pytest.fixture
def environ(tmp_path, monkeypatch):
    """What the tests of a project see."""
    monkeypatch.setenv("COUNTERS", str(tmp_path / "counters"))
    (tmp_path / "counters").mkdir()


@pytest.fixture
def make_repository(make_project, environ):
    """A project with its files committed, and a function that runs git in it."""

    def make(files, **more):
        root = make_project({".gitignore": "__pycache__/\n.pytest-recall/\n", **files}, **more)
        git(root, "init", "-q", "-b", "main")
        commit(root)
        return root

    return make


def git(root, *args):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *args], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def commit(root):
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a step")


def state(root):
    """All that is the user's: files, index, references, stashes, settings, work trees, each with its time.

    git itself renews the times of loose objects that are written anew, wherever to.
    """
    files = {}
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if path.is_file() and "__pycache__" not in inside and ".pytest-recall" not in inside:
            time = 0 if inside[:2] == (".git", "objects") else path.stat().st_mtime_ns
            files["/".join(inside)] = (time, path.read_bytes())
    return files, git(root, "worktree", "list"), git(root, "stash", "list")


@asynccontextmanager
async def opened(root, **environ):
    async with App(flags={}, environ={**os.environ, **environ}, default=root) as app:
        yield app


async def run(app, *, confirm=0, **request):
    job, _ = await app.start("", RunRequest(timeout_s=60, **request), ORIGIN, confirm=confirm)
    with anyio.fail_after(90):
        await job.done.wait()
    return job.outcome()


def judged(report):
    return {test: cause.judgement for cause in report.groups for test in cause.group.tests}


def verdicts(report):
    return {test: judgement.verdict.value for test, judgement in judged(report).items()}


async def test_failure_is_told_to_be_yours_or_older_or_new_and_nothing_of_yours_is_touched(make_repository):
    root = make_repository(
        {
            "calc.py": "def add(a, b):\n    return a + b\n",
            "test_calc.py": """
                from calc import add
                def test_add():
                    assert add(1, 2) == 3
                def test_old():
                    assert add("a", "b") == "ba"
                def test_fine():
                    assert add(2, 2) == 4
            """,
        }
    )
    git(root, "worktree", "add", "-q", "--detach", str(root.parent / "theirs"))
    (root / "calc.py").write_text("def add(a, b):\n    return 'stashed'\n")
    git(root, "stash")
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    (root / "calc.py").write_text("def add(a, b):\n    return a + b if a != 1 else 0\n")
    with (root / "test_calc.py").open("a") as file:  # pytest runs none where one is not there
        file.write("def test_new():\n    assert 'new' == 'old'\n")
    (root / "test_file.py").write_text("def test_file():\n    assert 'file' == 'new'\n")
    git(root, "status")
    before = state(root)

    async with opened(root) as app:
        report = await run(app, confirm=3)
        runs, known = await app.runs(""), await app.summary("")
        assert verdicts(await app.report("", report.run.id)) == verdicts(report)
        assert {one.history.id: one.judgement.verdict.value for one in known.failing} == verdicts(report)
        counted = await observing.standing(await app.workspaces.get(""))
        assert counted.verdicts == Counter(verdicts(report).values()), "metrics tell the same"
    async with opened(root) as another:  # process: what was proven is kept beside the runs
        again = await another.report("", report.run.id)
        assert verdicts(again) == verdicts(report)
        assert {one for one in report.warnings if "base" in one} <= set(again.warnings)

        later = await run(another)  # on the same sources nothing has to be proven again
        assert verdicts(later) == verdicts(report)
    assert state(root) == before
    found, head = judged(report), git(root, "rev-parse", "HEAD")[:10]
    assert verdicts(report) == {
        "test_calc.py::test_add": "regression",
        "test_calc.py::test_old": "pre_existing",
        "test_calc.py::test_new": "not_enough_evidence",
        "test_file.py::test_file": "not_enough_evidence",
    }
    assert found["test_calc.py::test_add"].evidence == (
        f"the base {head} passes 3/3, now red 4/4, P(real) .99"
    )
    assert found["test_calc.py::test_old"].evidence == f"also fails 3/3 at the base {head}"
    assert found["test_calc.py::test_old"].action.startswith("Not from your uncommitted change")
    assert "red 4/4, P(real) .89" in found["test_calc.py::test_new"].evidence
    [said] = [warning for warning in report.warnings if "not exist" in warning]
    assert "'test_calc.py::test_new', 'test_file.py::test_file' do not exist by that name: new, moved" in said
    assert "regression" not in said
    assert [row.purpose for row in reversed(runs)] == ["", "alone", "base", "base"]
    assert [row.id for row in known.runs] == [report.run.id]


CHANCE_AND_ORDER = {
    "state.py": "seen = []\n",
    "test_a.py": """
        import state
        def test_one(): ...
        def test_leaves_a_trace():
            state.seen.append(1)
        def test_two(): ...
        def test_three(): ...
    """,
    "test_b.py": """
        import os, pathlib, state
        def test_by_chance():
            counter = pathlib.Path(os.environ["COUNTERS"], "chance")
            tried = counter.exists()
            counter.touch()
            assert tried
        def test_clean_state():
            assert state.seen == []
    """,
}


async def test_chance_is_told_from_order_and_the_polluter_is_named_with_a_command_that_shows_it(
    make_repository,
):
    root = make_repository(CHANCE_AND_ORDER)
    async with opened(root) as app:
        report = await run(app, confirm=2)
        found = judged(report)
        assert verdicts(report) == {
            "test_b.py::test_by_chance": "flaky",
            "test_b.py::test_clean_state": "order_dependent",
        }
        assert "1 red and 1 green" in found["test_b.py::test_by_chance"].evidence
        order = found["test_b.py::test_clean_state"]
        assert order.evidence == (
            "fails 2/2 in the suite, passes 2/2 alone; fails after test_a.py::test_leaves_a_trace, which leaves state behind"
        )

        shown = shlex.split(order.command)
        assert shown[1:] == ["-m", "pytest", "test_a.py::test_leaves_a_trace", "test_b.py::test_clean_state"]
        assert "1 failed, 1 passed" in typed(order.command, root)

        # It passes alone, as it was told; that makes it neither fixed nor flaky.
        again = await run(app, only="failed")
        assert [test.id for test in again.run.tests] == ["test_b.py::test_clean_state"]
        assert again.run.status == "passed"
        known = await app.test("", "test_b.py::test_clean_state")
        assert known.judgement.verdict == "order_dependent"


def typed(command, root, **environ):
    """What a shell in *root* prints."""
    done = subprocess.run(
        command, shell=True, cwd=root, capture_output=True, text=True, check=False, env=os.environ | environ
    )
    return done.stdout + done.stderr


async def test_command_is_the_runs_own_and_whole_however_long_and_whatever_the_caller_set(
    make_repository, connect
):
    long = "x" * 150
    root = make_repository(
        {
            "state.py": "seen = []\n",  # beside the tests' folder: on the path of `python -m pytest` alone
            "tests/test_a.py": f"""
                import os, pytest, state
                @pytest.mark.parametrize("a", [1], ids=["{long}"])
                def test_leaves(a):
                    if os.environ["MODE"] == "strict mode" and os.environ["API_TOKEN"]:
                        state.seen.append(1)
            """,
            "tests/test_b.py": f"""
                import pytest, state
                @pytest.mark.parametrize("b", [1], ids=["{long}"])
                def test_clean(b):
                    assert state.seen == []
            """,
        }
    )
    async with connect(root) as agent:
        env = {"MODE": "strict mode", "API_TOKEN": "hunter2"}
        answer = await agent.call("run_tests", confirm=2, env=env)
        [failure] = answer["failures"]
        assert failure["verdict"] == "order_dependent"
        assert "Reproduce" not in failure["action"]
        assert "test_history(view='test', detail='full')" in failure["action"]
        told = await agent.call("test_history", view="test", test=failure["tests"][0], detail="full")
    command = told["action"].partition("Reproduce: ")[2]
    assert "hunter2" not in command
    async with opened(root) as app:
        kept = await app.report("", answer["run_id"])
    assert "strict" in kept.groups[0].judgement.command
    assert "strict" not in bundle._unset(kept).groups[0].judgement.command, "for others, as in the run itself"
    assert "1 failed, 1 passed" in typed(command, root, API_TOKEN="hunter2")
    assert "API_TOKEN" in typed(command, root), "without the secret it says which it needs"


async def test_module_that_leaves_state_when_it_is_imported_is_blamed_and_not_its_tests(make_repository):
    root = make_repository(
        {
            "test_a.py": "import os\nos.environ['IMPORTED'] = '1'\ndef test_innocent(): ...\ndef test_too(): ...\n",
            "test_b.py": """
                import os
                def test_clean():
                    assert "IMPORTED" not in os.environ
                def test_clean_too():
                    assert "IMPORTED" not in os.environ
            """,
        }
    )
    async with opened(root) as app:
        report = await run(app, confirm=2)
        again = await app.report("", report.run.id)
    found = judged(report)
    for test in ("test_b.py::test_clean", "test_b.py::test_clean_too"):
        assert found[test].verdict == "order_dependent"
        assert found[test].evidence.endswith("fails after importing test_a.py, which leaves state behind")
        assert "1 failed, 2 deselected" in typed(found[test].command, root)
    assert judged(again) == found


async def test_rerun_that_is_refused_says_why_and_blames_no_lack_of_time(make_project, environ):
    make_project({"test_m.py": "def test_m():\n    assert 0\n"}, name="shared")
    root = make_project({"test_here.py": "def test_here(): ...\n"})
    (root / "tests").symlink_to(root.parent / "shared")
    async with opened(root) as app:
        report = await run(app, confirm=2)
        found = await app.verify("", ORIGIN, tests=["tests/test_m.py::test_m"], times=2, timeout_s=60)
    for said in ("".join(report.warnings), "".join(found.remarks)):
        assert "leads out of the project" in said
        assert "no time" not in said


async def test_suspects_are_verified_each_by_itself_and_in_the_order_in_which_they_failed(make_repository):
    root = make_repository(CHANCE_AND_ORDER)
    async with opened(root) as app:
        await run(app)
        (root / "state.py").write_text("seen = []  # edited\n")
        await run(app)
        found = await app.verify("", ORIGIN, tests=["test_b.py::test_clean_state"], times=2, timeout_s=60)
        [one] = found.tests
        assert one.judgement.verdict == "order_dependent"
        assert "test_a.py::test_leaves_a_trace" in one.judgement.evidence

        Path(os.environ["COUNTERS"], "chance").unlink()
        found = await app.verify("", ORIGIN, tests=["test_b.py::test_by_chance"], times=2, timeout_s=60)
        assert [one.judgement.verdict for one in found.tests] == ["flaky"]


async def test_some_tests_that_pass_by_themselves_are_no_proof_of_chance(make_repository):
    root = make_repository(
        {
            "state.py": "seen, late = [], []\n",
            "test_a.py": "import state\ndef test_leaves_a_trace():\n    state.seen.append(1)\n",
            "test_b.py": """
                import state
                def test_first(): ...
                def test_clean_state():
                    assert state.seen == []
                def test_nothing_late():
                    assert state.late == []
            """,
            "test_z.py": "import state\nstate.late.append(1)\ndef test_last(): ...\n",
        }
    )
    async with opened(root) as app:
        await run(app)
        assert (await run(app, tests=("test_b.py",))).run.status == "passed"
        both = ("test_b.py::test_clean_state", "test_b.py::test_nothing_late")
        assert verdicts(await run(app)) == dict.fromkeys(both, "suspected_flaky")
        report = await run(app, confirm=2)
        assert verdicts(report) == dict.fromkeys(both, "order_dependent")
        found = judged(report)
        assert "fails after test_a.py::test_leaves_a_trace" in found[both[0]].evidence
        assert "fails 4/4 in the suite, passes 2/2 alone" in found[both[1]].evidence
        assert any("a module that is only imported" in warning for warning in report.warnings)


SOURCES = {
    "src/shop/__init__.py": "def total(n):\n    return n\n",
    "test_shop.py": "import shop\ndef test_total():\n    assert shop.total(2) == 2\ndef test_fine(): ...\n",
}


async def test_failure_that_the_branch_has_committed_is_not_called_older_for_a_note_beside_it(
    make_repository,
):
    root = make_repository({**SOURCES, "pytest.ini": "[pytest]\npythonpath = src\n"})
    fork = git(root, "rev-parse", "HEAD")[:10]
    (root / "test_old.py").write_text("def test_old():\n    assert 'old' == 'new'\n")
    commit(root)
    git(root, "checkout", "-q", "-b", "feature", "HEAD")
    git(root, "branch", "-f", "main", "HEAD^")
    (root / "src/shop/__init__.py").write_text("def total(n):\n    return 0\n")
    commit(root)
    head = git(root, "rev-parse", "HEAD")[:10]
    (root / "notes.md").write_text("todo\n")
    async with opened(root) as app:
        report = await run(app, confirm=1)
    assert verdicts(report) == {
        "test_shop.py::test_total": "regression",
        "test_old.py::test_old": "pre_existing",
    }
    found = judged(report)
    assert found["test_shop.py::test_total"].evidence.startswith(f"the base {fork} passes 3/3")
    assert found["test_old.py::test_old"].evidence == f"also fails 3/3 at the base {head}"
    assert found["test_old.py::test_old"].action.startswith("Not from your uncommitted change")
    assert any(
        f"not from what is uncommitted, but from the commits since {fork}" in one for one in report.warnings
    )


async def test_base_is_run_with_its_own_sources_although_the_path_leads_to_the_users(make_repository):
    root = make_repository(SOURCES)
    (root / "src/shop/__init__.py").write_text("def total(n):\n    return 0\n")
    commit(root)
    async with opened(root, PYTHONPATH=str(root / "src")) as app:
        report = await run(app, confirm=1)
    assert verdicts(report) == {"test_shop.py::test_total": "regression"}
    assert judged(report)["test_shop.py::test_total"].evidence.startswith(
        f"the base {git(root, 'rev-parse', 'HEAD^')[:10]} passes 3/3, now red 2/2"
    )


async def test_base_that_imports_the_users_files_proves_nothing_and_the_answer_says_so(
    make_repository, tmp_path
):
    root = make_repository(SOURCES)
    (root / "src/shop/__init__.py").write_text("def total(n):\n    return 0\n")
    hook = tmp_path / "hook"
    hook.mkdir()
    # As the hooks of some build backends' editable installs: before sys.path is asked.
    (hook / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "class Editable:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'shop':\n"
        f"            return importlib.util.spec_from_file_location(name, {str(root / 'src/shop/__init__.py')!r})\n"
        "sys.meta_path.insert(0, Editable())\n"
    )
    async with opened(root, PYTHONPATH=str(hook)) as app:
        report = await run(app, confirm=1)
    assert verdicts(report) == {"test_shop.py::test_total": "not_enough_evidence"}
    [said] = [warning for warning in report.warnings if "could not be proven" in warning]
    assert "'shop' is imported from" in said
    assert "editable install" in said


async def test_without_git_no_base_is_claimed_and_the_agent_reads_what_is_open(
    make_project, environ, connect
):
    root = make_project({"test_a.py": "def test_a():\n    assert 0\ndef test_b(): ...\n"})
    async with connect(root) as agent:
        answer = await agent.call("run_tests", confirm=1)
    [failure] = answer["failures"]
    assert failure["verdict"] == "not_enough_evidence"
    assert failure["evidence"] == "n=2; red 2/2, P(real) .69"
    assert failure["action"].startswith("Most likely real, no flake; no base could tell whether it is yours.")
    [said] = answer["warnings"]
    assert said.startswith("Whether it fails at the base too could not be proven: there is no git commit")


@pytest.mark.parametrize("content", ["'x'", "str(time.time())"], ids=["once", "each time"])
async def test_what_the_tests_write_themselves_is_no_other_revision_to_confirm_on(make_repository, content):
    root = make_repository(
        {
            "calc.py": "def add(a, b):\n    return a + b\n",
            "test_calc.py": "import calc\ndef test_add():\n    assert calc.add(1, 2) == 3\n",
            "test_writes.py": f"import time\ndef test_writes():\n    open('report.txt', 'w').write({content})\n",
            **({} if content == "'x'" else {"report.txt": "of an earlier day"}),
        }
    )
    (root / "calc.py").write_text("def add(a, b):\n    return 0\n")
    async with opened(root) as app:
        report = await run(app, confirm=3)
        known = await app.summary("")
    assert verdicts(report) == {"test_calc.py::test_add": "regression"}
    assert {one.history.id: one.judgement.verdict.value for one in known.failing} == verdicts(report)
    [said] = [warning for warning in report.warnings if "report.txt" in warning]
    assert "The tests write files that git does not ignore: 'report.txt'." in said


async def test_source_that_changes_while_the_tests_run_leaves_the_rerun_of_another_revision(make_repository):
    root = make_repository(
        {
            "calc.py": "def add(a, b):\n    return 0\n",
            "test_calc.py": "import calc\ndef test_add():\n    assert calc.add(1, 2) == 3\n",
            "test_edits.py": "def test_edits():\n    open('calc.py', 'w').write('def add(a, b):\\n    return a + b\\n')\n",
        }
    )
    async with opened(root) as app:
        report = await run(app, confirm=2)
    assert verdicts(report) == {"test_calc.py::test_add": "suspected_flaky"}, "which nothing has proven"
    [said] = [warning for warning in report.warnings if "calc.py" in warning]
    assert said.startswith(
        "confirm: 'calc.py' changed while the tests ran, so the reruns are of other sources"
    )


async def test_what_the_tests_write_themselves_has_mended_nothing(make_repository):
    root = make_repository(
        {
            "calc.py": "def add(a, b):\n    return 0\n",
            "report.txt": "of an earlier day",
            "test_calc.py": """
                import calc, os, pathlib, time
                def test_writes():
                    pathlib.Path("report.txt").write_text(str(time.time()))
                def test_by_turns():
                    counter = pathlib.Path(os.environ["COUNTERS"], "turns")
                    turn = len(counter.read_text()) if counter.exists() else 0
                    counter.write_text("x" * (turn + 1))
                    assert turn % 2
                def test_add():
                    assert calc.add(1, 2) == 3
            """,
        }
    )
    async with opened(root) as app:
        for _ in "red", "green", "red":
            await run(app)
        store = (await app.workspaces.get("")).store
        assert await store.transitions(limit=10) == [], "by turns is no fix"
        (root / "calc.py").write_text("def add(a, b):\n    return a + b\n")
        await run(app)
        known = {one.test: one for one in await store.transitions(limit=10)}
    fix = known["test_calc.py::test_add"]
    assert [change.path for change in fix.changes] == ["calc.py"]


async def test_file_that_cannot_be_collected_is_told_to_be_yours_or_older(make_repository):
    root = make_repository(
        {
            "calc.py": "def add(a, b):\n    return a + b\n",
            "test_calc.py": "import calc\ndef test_add():\n    assert calc.add(1, 2) == 3\n",
            "test_old.py": "import nowhere_to_be_found\n",
        }
    )
    (root / "calc.py").write_text("def add(a, b:\n    return a + b\n")
    (root / "test_new.py").write_text("import not_there_either\n")
    git(root, "status")
    before = state(root)
    async with opened(root) as app:
        report = await run(app, confirm=3)
        head = git(root, "rev-parse", "HEAD")[:10]
        assert verdicts(report) == {
            "test_calc.py": "regression",
            "test_old.py": "pre_existing",
            "test_new.py": "not_enough_evidence",
        }
        found = judged(report)
        assert found["test_calc.py"].evidence == f"the base {head} collects it, here 2/2 collections failed"
        assert found["test_old.py"].action == "Not from your uncommitted change; leave it or mend it apart."
        assert any(f"At the base {head} there is no 'test_new.py'" in said for said in report.warnings)
        assert verdicts(await app.report("", report.run.id)) == verdicts(report), "and it is kept"
        later = await run(app)
        assert verdicts(later)["test_calc.py"] == "regression", "on the same sources nothing is proven anew"
    assert state(root) == before


async def test_without_git_a_file_that_cannot_be_collected_is_compared_with_nothing_and_said_so(make_project):
    root = make_project({"test_bad.py": "import nowhere_to_be_found\n"})
    async with opened(root) as app:
        report = await run(app, confirm=2)
    assert verdicts(report) == {"test_bad.py": "not_enough_evidence"}
    assert any(
        "'test_bad.py' can be collected at the base could not be told: there is no git" in said
        for said in report.warnings
    )
