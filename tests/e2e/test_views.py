"""What is looked up in the past: two runs side by side, slow tests, spaces, and the store itself."""

import json
import time
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from pytest_recall.cli import main
from pytest_recall.errors import StoreUnavailable
from pytest_recall.model import RunRequest
from pytest_recall.store.client import Store
from pytest_recall.store.journal import Journal
from pytest_recall.store.line import Line

pytestmark = pytest.mark.anyio

A = {
    "test_a.py": "import time\ndef test_one(): time.sleep(0.05)\ndef test_two(): assert 1 == 2\ndef test_three(): ...\n"
}


@pytest.fixture
def recall(capfd):
    """`recall("history", "runs", project=…)`: exit code and output of that command."""

    def call(*words: str, project: Path) -> tuple[int, str]:
        capfd.readouterr()
        return main([words[0], "--project", str(project), *words[1:]]), capfd.readouterr().out

    return call


async def test_two_runs_are_set_side_by_side(make_project, connect):
    project = make_project(A)
    async with connect(project) as agent:
        first = await agent.call("run_tests")
        (project / "test_a.py").write_text(
            "def test_one(): assert False\ndef test_two(): ...  # mended\ndef test_four(): ...\n"
        )
        second = await agent.call("run_tests")
        for names in ({}, {"run_id": second["run_id"], "base_run_id": first["run_id"]}):
            view = await agent.call("test_history", view="compare", **names)
            assert view["newly_failing"] == ["test_a.py::test_one"]
            assert view["newly_passing"] == ["test_a.py::test_two"]
            assert view["appeared"] == ["test_a.py::test_four"]
            assert view["vanished"] == ["test_a.py::test_three"]
        assert "No run fits 'nowhere'" in await agent.error(
            "test_history", view="compare", base_run_id="nowhere"
        )


async def test_the_slowest_tests_come_first(make_project, connect):
    async with connect(make_project(A)) as agent:
        await agent.call("run_tests")
        view = await agent.call("test_history", view="slow", limit=1)
        assert [line["id"] for line in view["tests"]] == ["test_a.py::test_one"]
        assert view["tests"][0]["median_s"] >= 0.05
        following = await agent.call("test_history", view="slow", limit=1, cursor=view["next_cursor"])
        assert [line["id"] for line in following["tests"]] == ["test_a.py::test_three"]


async def test_quick_tests_are_counted_among_the_slow_ones_and_not_listed(make_project, connect):
    source = "import time\ndef test_slow(): time.sleep(0.05)\n" + "".join(
        f"def test_{number}(): ...\n" for number in range(200)
    )
    async with connect(make_project({"test_a.py": source})) as agent:
        await agent.call("run_tests")
        view = await agent.call("test_history", view="slow", limit=500)
    assert view["tests"][0]["id"] == "test_a.py::test_slow"
    assert len(view["tests"]) < 100  # a loaded machine makes some of them slow
    [remark] = view["remarks"]
    assert remark == f"{201 - len(view['tests'])} more tests take less than 0.01 s each."


def test_a_test_tried_with_an_option_hides_no_slow_one(make_project, recall, ask):
    project = make_project(A)
    for words in (), ("-x", "--tb", "short", "-q"), ("-k", "three", "--test-timeout", "30"):
        recall("run", *words, project=project)
    slow = ask("slow", "--limit", "1", project=project)
    assert [(line["id"], line["runs"]) for line in slow["tests"]] == [("test_a.py::test_one", 2)]
    assert slow["remarks"] == ["Left out: 1 run(s) with other options or in another environment."]


async def test_an_answer_with_nothing_in_it_says_why(make_project, connect):
    async with connect(make_project({"test_a.py": "def test_one(): ...\n"})) as agent:
        for view in ("summary", "runs", "spaces"):
            answer = await agent.call("test_history", view=view)
            assert answer["remarks"] == ["No run is kept" + (" that fits." if view == "runs" else " yet.")]
        assert "No run is kept yet." in await agent.error("test_history", view="run")
        done = await agent.call("run_tests", repeat=2)
        assert done["repeat"] == 2
        for view in ("failures", "flaky", "fixes"):
            [remark] = (await agent.call("test_history", view=view))["remarks"]
            assert remark.startswith("No ")
        assert (await agent.call("test_history", view="run"))["run"]["run_id"] == done["run_id"]


@pytest.fixture
def index_without(monkeypatch):
    """`index_without("tests")`: from now on the index is needed, and does not answer that question."""

    def replace_it(*questions: str) -> None:
        def call(_: Line, do: str, **__: object) -> Future[object]:
            answer: Future[object] = Future()
            if do in questions:
                answer.set_exception(StoreUnavailable("Another process has the index."))
            else:
                rows = {"rows": [], "generation": "g", "taken": 0}
                answer.set_result({"rows": [], "unread": 0} if do == "runs" else rows)
            return answer

        monkeypatch.setattr(Store, "_journal_is_enough", lambda *_: False)
        monkeypatch.setattr(Store, "_journal_has_all", lambda *_: False)
        monkeypatch.setattr(Store, "_glanced", lambda *_, **__: None)
        monkeypatch.setattr(Line, "call", call)

    return replace_it


def test_what_is_only_unknown_is_not_denied(make_project, recall, index_without):
    project = make_project({"test_a.py": "def test_one(): ...\n"})
    recall("run", project=project)
    index_without("run", "runs", "tests", "failures")
    theirs = "01a22166-aedf-730d-8a28-6dafb01aa1fc"
    for words in (
        ("history", "run", theirs),
        ("history", "run", theirs[:8]),
        ("history", "test", "test_b.py::test_theirs"),
        ("compare", "local", "ci"),
        ("compare", theirs),
        ("logs", theirs),
        ("note", theirs, "seen"),
        ("run", "--only", "failed"),
    ):
        code, told = recall(*words, "--json", project=project)
        assert code in (4, 5)
        assert json.loads(told)["error"].count("could not be asked: Another process has the index.") == 1


def test_an_answer_tells_what_one_of_its_questions_lacked_though_the_next_was_answered(
    make_project, recall, index_without
):
    project = make_project({"test_a.py": "def test_one(): assert 1 == 2\n"})
    run_id = json.loads(recall("run", "--json", project=project)[1])["run_id"]
    index_without("tests")
    for words in (
        ("stats",),
        ("history", "run", run_id),
        ("metrics",),
        ("bundle", "-o", str(project / "b.tar.gz")),
    ):
        told = json.loads(recall(*words, "--json", project=project)[1])
        [warning] = told.get("warnings") or told["run"]["warnings"]
        assert "Another process has the index." in warning
    assert "warnings" not in json.loads(recall("history", "failures", "--json", project=project)[1])


async def test_a_cause_counts_as_seen_before_only_in_other_runs(make_project, connect):
    async with connect(make_project({"test_a.py": "def test_one(): assert 1 == 2\n"})) as agent:
        first = await agent.call("run_tests")
        assert "seen_before" not in first["failures"][0]
        second = await agent.call("run_tests", confirm=2)
        assert second["failures"][0]["seen_before"]["runs"] == 1
        again = await agent.call("test_history", view="run", run_id=first["run_id"])
        assert "seen_before" not in again["run"]["failures"][0]


async def test_a_verdict_on_a_run_gives_way_to_what_is_learnt_later(make_project, connect, tmp_path):
    red = tmp_path / "red"
    red.touch()
    source = f"from pathlib import Path\ndef test_one(): assert not Path({str(red)!r}).exists()\n"
    async with connect(make_project({"test_a.py": source})) as agent:
        first = await agent.call("run_tests")
        told = [await agent.call("test_history", view="run", run_id=first["run_id"]) for _ in range(2)]
        assert [one["run"]["failures"][0]["verdict"] for one in told] == ["not_enough_evidence"] * 2
        red.unlink()
        await agent.call("run_tests")
        told = [await agent.call("test_history", view="run", run_id=first["run_id"]) for _ in range(2)]
        assert [one["run"]["failures"][0]["verdict"] for one in told] == ["flaky"] * 2


async def test_a_cause_is_known_by_any_of_its_fingerprints(make_project, connect):
    source = "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_one(n): assert n == 3\n"
    async with connect(make_project({"test_a.py": source})) as agent:
        [second] = (await agent.call("run_tests", tests=["test_a.py::test_one[2]"]))["failures"]
        [both] = (await agent.call("run_tests"))["failures"]
        assert len(both["tests"]) == 2
        assert both["fingerprint"] != second["fingerprint"]
        seen = both["seen_before"]
        assert (seen["tier"], seen["fingerprint"], seen["runs"]) == ("strict", second["fingerprint"], 1)


async def test_tests_that_are_gone_are_marked_when_asked(make_project, connect):
    project = make_project({"test_a.py": "def test_one(): assert 0\ndef test_two(): assert 0\n"})
    async with connect(project) as agent:
        await agent.call("run_tests")
        (project / "test_a.py").write_text("def test_one(): assert 0\n")
        answer = await agent.call("test_history", reconcile=True)
        assert answer["remarks"] == ["1 tests are gone since the last look, 0 have another name now."]
        assert [line["id"] for line in answer["failing"]] == ["test_a.py::test_one"]


async def test_spaces_show_what_fails_only_there(make_project, connect, recall):
    project = make_project(
        {"test_a.py": "import os\ndef test_agent_only(): assert 'AGENT' not in os.environ\n"}
    )
    await anyio.to_thread.run_sync(partial(recall, "run", project=project))
    async with connect(project) as agent:
        await agent.call("run_tests", env={"AGENT": "1"})
        view = await agent.call("test_history", view="spaces")
    assert {line["space"]: line.get("fails_only_here", []) for line in view["spaces"]} == {
        "local": [],
        "agent": ["test_a.py::test_agent_only"],
    }


@pytest.fixture
def ask(recall):
    """`ask("stats", project=…)`: the typed answer of that command, which must be one."""

    def call(*words: str, project: Path) -> dict:
        code, told = recall(*words, "--json", project=project)
        assert code in (0, 1), told
        return json.loads(told)

    return call


def copies(project: Path, number: int, at: float, **changes: object) -> None:
    """*number* runs like the last one, a second apart, in the journal of *project*."""
    journal = Journal(project / ".pytest-recall")
    last = journal.read(max(journal.paths()))
    for n in range(number):
        journal.write(replace(last, id=begun(at + n) + last.id[13:], started_at=at + n, **changes))


def begun(at: float) -> str:
    """How the id of a run of that moment begins."""
    digits = f"{int(at * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"


@pytest.mark.parametrize("alone", [True, False])
def test_reruns_of_our_own_are_not_taken_for_a_persons_runs(make_project, recall, ask, alone):
    project = make_project(A if alone else {"test_a.py": "def test_two(): assert 1 == 2\n"})
    first = ask("run", project=project)["run_id"]
    second = ask("run", "--confirm", "2", project=project)["run_id"]
    assert max(Journal(project / ".pytest-recall").paths()).stem != second
    for times in 0, 90:
        copies(project, times, time.time(), request=RunRequest(purpose="alone" if alone else "again"))
        compared = ask("compare", project=project)
        assert (compared["before"]["run_id"], compared["after"]["run_id"]) == (first, second)
        stats = ask("stats", project=project)
        assert stats["last_run"]["run_id"] == second
        assert stats["recent_runs"] == {"failed": 2}
        assert ask("history", "run", project=project)["run"]["run_id"] == second
        assert ask("logs", project=project)["run_id"] == second
        if alone:
            assert ask("slow", project=project)["tests"][0]["id"] == "test_a.py::test_one"
    assert (
        ask("history", "test", "test_a.py::test_two", project=project)["attempts"] > 90
    )  # evidence they are


def test_a_space_is_found_however_many_runs_came_after_it(make_project, ask):
    project = make_project(A)
    last = ask("run", project=project)["run_id"]
    copies(project, 2, 1.6e9, space="ci")
    copies(project, 210, 1.7e9)
    spaces = {line["space"]: line["runs"] for line in ask("history", "spaces", project=project)["spaces"]}
    assert spaces == {"local": 211, "ci": 2}
    assert ask("compare", "ci", "local", project=project)["after"]["source"].startswith("ci")
    assert ask("compare", "local", "ci", project=project)["after"]["source"].startswith("local")
    assert ask("compare", last, "ci", project=project)["before"]["run_id"].startswith(begun(1.6e9 + 1))
    copies(project, 1, 1.5e9, space="ci")
    oldest = begun(1.5e9)[:8]
    assert ask("compare", last, oldest, project=project)["before"]["run_id"].startswith(oldest)


def test_what_a_view_does_not_take_is_refused_and_what_it_takes_narrows_it(make_project, recall, ask):
    project = make_project(A)
    last = ask("run", project=project)
    copies(project, 2, 1.6e9, space="ci")
    for words, why in (
        (("history", "summary", "--since", "7d"), "takes no 'since': that is for 'runs', 'failures'"),
        (("history", "failures", "--space", "ci"), "takes no 'space'"),
        (("history", "test", "test_a.py::test_two", "--space", "ci"), "takes no 'space'"),
        (("history", "spaces", "--verify", "2"), "takes no 'verify'"),
        (("history", "runs", "--base", "ci"), "takes no 'base_run_id'"),
        (("history", "runs", "ci"), "takes nothing more: 'ci'"),
        (("slow", "--since", "banana"), "since='banana' is no time"),
        (("flaky", "--verify", "1", "--window", "7d"), "leave 'since'"),
    ):
        code, told = recall(*words, "--json", project=project)
        assert (code, why in json.loads(told)["error"]) == (4, True), told
    for words, view in (
        (("slow", "--since", "2099-01-01"), "slow"),
        (("slow", "--space", "agent"), "slow"),
        (("history", "failures", "--since", "2099-01-01"), "failures"),
    ):
        assert ask(*words, project=project).keys() == {"view", "remarks"}, view
    [slowest] = ask("slow", "--space", "ci", "--limit", "1", project=project)["tests"]
    assert (slowest["id"], slowest["runs"]) == ("test_a.py::test_one", 2)
    assert last["failures"][0]["fingerprint"] in json.dumps(
        ask("history", "failures", "--since", "1d", project=project)
    )


def test_flaky_tells_of_the_one_test_that_is_asked_for(make_project, ask):
    source = (
        "import pathlib\ndef test_flaky():\n    file = pathlib.Path('.state-x')\n    file.write_text(file.read_text() + 'x' "
        "if file.exists() else '')\n    assert len(file.read_text()) % 2\ndef test_fine(): ...\n"
    )
    project = make_project({"test_a.py": source, ".gitignore": ".state-x\n"})
    ask("run", "--repeat", "2", project=project)
    [known] = ask("flaky", project=project)["tests"]
    assert known["id"] == "test_a.py::test_flaky"
    [fine] = ask("flaky", "test_a.py::test_fine", project=project)["tests"]
    assert (fine["id"], fine.get("verdict", "")) == ("test_a.py::test_fine", "")
    assert "tests" not in ask("flaky", "--space", "ci", project=project)
    assert "tests" not in ask("flaky", "test_a.py::test_fine", "--since", "7d", project=project)
    [verified] = ask("history", "flaky", "test_a.py::test_fine", "--verify", "1", project=project)["tests"]
    assert verified["id"] == "test_a.py::test_fine"


def test_the_short_commands_give_the_views(make_project, recall):
    project = make_project(A)
    recall("run", project=project)
    recall("run", project=project)
    for words, view in (
        (("stats",), "summary"),
        (("flaky", "--threshold", "0.1", "--window", "7d"), "flaky"),
        (("slow",), "slow"),
        (("compare",), "compare"),
        (("similar", "assert 1 == 2"), "similar"),
        (("history", "spaces"), "spaces"),
    ):
        assert recall(*words, project=project)[0] == 0, words
        _, as_json = recall(words[0], "--json", *words[1:], project=project)
        assert json.loads(as_json)["view"] == view


def test_similar_failures_are_told_with_how_surely_and_by_which_words(make_project, recall):
    source = "def test_price():\n    prices = {'apple': 1}\n    assert prices['sku_unknown']\n"
    project = make_project({"tests/test_price.py": source})
    recall("run", project=project)
    text = "KeyError: 'sku_unknown' at prices in tests/test_price.py"
    for _ in range(5):  # on a loaded machine the index may not answer in time
        if found := json.loads(recall("similar", "--json", text, project=project)[1]).get("failures"):
            break
    assert (found[0]["error"], found[0]["tier"]) == ("KeyError", "lexical")
    assert "sku_unknown" in found[0]["matched"]
    assert "sku_unknown" in recall("similar", text, project=project)[1]
    _, other = recall("similar", "--json", "connection refused by peer", project=project)
    assert json.loads(other)["remarks"] == ["Nothing like it is known."]


def test_the_store_is_looked_after(make_project, recall):
    project = make_project(A)
    recall("run", project=project)
    while json.loads(recall("store", "--json", "status", project=project)[1]).get("behind"):
        pass  # a loaded machine may not have fed the index before the command ended
    for act in ("status", "verify", "rebuild", "reindex", "prune"):
        code, as_json = recall("store", "--json", act, project=project)
        assert code == 0, as_json
        answer = json.loads(as_json)
        assert (answer["act"], answer["runs"], answer["healthy"]) == (act, 1, True)
        assert answer["counts"]["runs"] == 1
        assert recall("store", act, project=project)[0] == 0


async def test_the_server_tells_no_view_apart_wrongly(make_project, connect):
    async with connect(make_project({})) as agent:
        for view in ("summary", "runs", "failures", "flaky", "slow", "spaces"):
            assert (await agent.call("test_history", view=view))["view"] == view


async def test_a_deleted_test_file_keeps_no_failed_test_from_being_rerun(make_project, connect):
    project = make_project({"test_a.py": "def test_a(): assert 0", "test_b.py": "def test_b(): assert 0"})
    async with connect(project) as agent:
        await agent.call("run_tests")
        (project / "test_b.py").unlink()
        assert (await agent.call("run_tests", only="failed"))["counts"] == {"collected": 1, "failed": 1}


async def test_suspects_are_rerun_before_the_answer(make_project, connect, tmp_path):
    counter = tmp_path / "counter"
    project = make_project(
        {
            "test_f.py": f"""
                from pathlib import Path

                def test_flaky():
                    counter = Path({str(counter)!r})
                    number = int(counter.read_text()) + 1 if counter.exists() else 0
                    counter.write_text(str(number))
                    assert number % 2
            """
        }
    )
    async with connect(project) as agent:
        assert (await agent.call("run_tests"))["status"] == "failed"
        view = await agent.call("test_history", view="flaky", test="test_f.py::test_flaky", verify=4)
    assert [line["verdict"] for line in view["tests"]] == ["flaky"]
