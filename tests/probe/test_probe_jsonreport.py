"""pytest-json-report beside the stream: lent by path, never installed, never in the way."""

import pytest

SUITE = {
    "test_a.py": "def test_1(): pass\ndef test_2(): assert 2 == 3\ndef test_3(nope): pass\n",
    "test_b.py": "import pytest\ndef test_4(): pytest.skip('four')\n@pytest.mark.xfail\ndef test_5(): assert 0\n",
}
OUTCOMES = {
    "test_a.py::test_1": "passed",
    "test_a.py::test_2": "failed",
    "test_a.py::test_3": "error",
    "test_b.py::test_4": "skipped",
    "test_b.py::test_5": "xfailed",
}
HIDE = """
    import sys
    from importlib.machinery import PathFinder

    class Hiding(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if name == "pytest_jsonreport" else PathFinder.find_spec(name, path, target)

    sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
    """


@pytest.fixture
def bare(probe):
    """A target that has no pytest-json-report, wherever these tests run."""
    probe.write({"../hide/sitecustomize.py": HIDE, **SUITE})
    probe.env["PYTHONPATH"] = str(probe.folder / "hide")
    probe.env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return probe


def distributed(workers, needs):
    if not workers:
        return []
    needs("xdist")
    return ["-p", "xdist", f"-n{workers}"]


@pytest.mark.parametrize("workers", [0, 2])
def test_report_is_made_where_nothing_is_installed(bare, needs, json_report_folder, workers):
    ran = bare.run(*distributed(workers, needs), json_report=json_report_folder)
    report = ran.json("report.json")
    assert {test["nodeid"]: test["outcome"] for test in report["tests"]} == OUTCOMES
    assert report["exitcode"] == ran.rc == 1
    assert report["summary"]["total"] == 5
    assert "JSON report" not in ran.output
    assert ran.all("note") == []


@pytest.mark.parametrize("workers", [0, 2])
def test_report_is_not_made_for_too_many_tests(bare, needs, json_report_folder, workers):
    ran = bare.run(*distributed(workers, needs), json_report=json_report_folder, json_report_most=4)
    assert ran.json("report.json") is None
    assert len(ran.all("finish")) == 5
    assert (ran.rc, ran.all("internalerror"), ran.all("note")) == (1, [], [])


@pytest.mark.parametrize("most", [2000, 0])
def test_hooks_and_fixture_of_the_project_work(probe, json_report_folder, most):
    probe.write(
        {
            "conftest.py": "def pytest_json_modifyreport(json_report): json_report['ours'] = 1\n",
            "test_x.py": "def test_a(json_metadata): json_metadata['k'] = 1\n",
        }
    )
    ran = probe.run(json_report=json_report_folder, json_report_most=most)
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert (ran.json("report.json") or {}).get("ours") == (1 if most else None)


OWN_PROTOCOL = """
    import pytest
    from _pytest.runner import call_and_report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        twin = type(item).from_parent(item.parent, name=item.name)
        twin.ihook.pytest_runtest_logstart(nodeid=twin.nodeid, location=twin.location)
        for when in ("setup", "call", "teardown"):
            call_and_report(twin, when, nextitem=nextitem)
        twin.ihook.pytest_runtest_logfinish(nodeid=twin.nodeid, location=twin.location)
        return True
    """


@pytest.mark.parametrize(
    ("conftest", "test"),
    [(OWN_PROTOCOL, "pass"), ("", "import json; json.dump = None")],
    ids=["a protocol of its own", "json is patched"],
)
def test_report_that_cannot_be_made_is_no_hindrance(probe, json_report_folder, conftest, test):
    probe.write({"conftest.py": conftest, "test_x.py": f"def test_1(): pass\ndef test_2(): {test}\n"})
    ran = probe.run("-p", "no:cacheprovider", json_report=json_report_folder)
    assert ran.json("report.json") is None
    assert ran.verdicts() == {"test_1": ["passed"], "test_2": ["passed"]}
    assert (ran.rc, ran.all("internalerror")) == (0, [])


def test_package_that_cannot_be_lent_is_a_note_and_no_hindrance(bare):
    bare.write({"../broken/pytest_jsonreport/__init__.py": "raise RuntimeError('broken')\n"})
    ran = bare.run(json_report=str(bare.folder / "broken" / "pytest_jsonreport"))
    assert ran.one("note")["text"] == "no JSON report: RuntimeError: broken"
    assert len(ran.all("finish")) == 5
    assert ran.json("report.json") is None


def test_packages_that_lie_beside_it_do_not_become_importable(bare, json_report_folder):
    bare.write(
        {
            "test_path.py": f"import sys\ndef test_path(): assert {json_report_folder!r}.rpartition('/')[0] not in sys.path\n"
        }
    )
    ran = bare.run(
        "test_path.py", json_report=json_report_folder, args=["-p", "no:cacheprovider", "test_path.py"]
    )
    assert ran.rc == 0 or json_report_folder.startswith(ran.json("boot.json")["prefix"])


def test_report_that_the_project_asks_for_is_left_alone(probe, needs, json_report_folder):
    needs("pytest_jsonreport")
    probe.write(SUITE)
    probe.run("--json-report", "--json-report-file=theirs.json", json_report=json_report_folder)
    assert (probe.project / "theirs.json").exists()


def test_target_that_forbids_the_plugin_runs_without_it(probe, json_report_folder):
    probe.write(SUITE)
    ran = probe.run("-p", "no:pytest_jsonreport", json_report=json_report_folder)
    assert ran.json("report.json") is None
    assert len(ran.all("finish")) == 5
