"""Coverage at both doors: an agent reads what of its change no test has run, a person too, and history keeps it."""

import subprocess

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("plugins")]
pytest.importorskip("pytest_cov")

FILES = {
    "src/shop.py": """
        def total(items):
            return sum(items)
    """,
    "conftest.py": """
        import sys, pathlib
        sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))
    """,
    "test_shop.py": """
        import shop
        def test_total(): assert shop.total([1, 2]) == 3
    """,
    ".gitignore": "__pycache__\n",
    ".coveragerc": """
        [run]
        source = src
    """,
}


def git(project, *words: str) -> str:
    command = ["git", "-C", str(project), "-c", "user.name=n", "-c", "user.email=n@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_an_agent_reads_what_of_its_change_no_test_has_run(make_project, connect):
    # A project below the repository's root: its paths are told as its tests see them.
    project = make_project(FILES, name="repository/project")
    git(project.parent, "init", "-q", "-b", "main")
    git(project.parent, "add", ".")
    git(project.parent, "commit", "-q", "-m", "one")
    async with connect(project) as agent:
        first = await agent.call("run_tests", coverage=True)
        assert first["coverage"] == {"percent": 100.0}
        with (project / "src" / "shop.py").open("a") as file:
            file.write("\n\ndef refund(items):\n    return -sum(items)\n")
        (project / "src" / "till.py").write_text("open = True\n")
        second = await agent.call("run_tests", coverage=True)
        assert second["status"] == "passed"
        assert second["coverage"] == {
            "percent": 60.0,
            "before": 100.0,
            "change": "1 of 3 changed lines covered",
            "uncovered": ["src/shop.py: 7", "src/till.py: 1"],
            "worst": ["src/shop.py 75 %: 7", "src/till.py 0 %: 1"],
        }
        assert "coverage" not in await agent.call("run_tests")
        rows = (await agent.call("test_history", view="runs"))["runs"]
        assert [row.get("coverage") for row in rows] == [None, 60.0, 100.0]
        again = await agent.call("run_tests", run_id=second["run_id"], detail="full")
        assert again["coverage"]["by"].startswith("pytest-cov ")
    assert git(project, "status", "--short", "--", ".").split() == ["M", "src/shop.py", "??", "src/till.py"]
