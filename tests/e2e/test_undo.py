"""A fix is proven by undoing it aside: the failure comes back, and nothing of the user's is touched."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.anyio

RIGHT, WRONG = "RATES = {'EUR': 1.0, 'USD': 1.1}\n", "RATES = {'EUR': 1.0}\n"
DOLLARS = "tests/test_cart.py::test_dollars"


def git(root, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def shop(make_project):
    root = make_project(
        {
            "shop/__init__.py": "",
            "shop/money.py": RIGHT,
            "shop/colour.py": "COLOUR = 'red'\n",
            "tests/test_cart.py": """
                from shop import colour, money

                def test_dollars():
                    assert colour.COLOUR
                    assert money.RATES['USD'] == 1.1
            """,
            "conftest.py": "",
            ".gitignore": ".pytest-recall/\n__pycache__/\n",
        }
    )
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


async def test_undoing_a_fix_aside_proves_it(shop, connect):
    money = shop / "shop" / "money.py"
    async with connect(shop) as agent:
        money.write_text(WRONG)
        assert (await agent.call("run_tests"))["status"] == "failed"
        money.write_text(RIGHT + "# dollars again\n")
        assert (await agent.call("run_tests"))["status"] == "passed"
        before = git(shop, "status", "--porcelain"), git(shop, "worktree", "list"), money.read_text()
        proven = await agent.call("test_history", view="fixes", test=DOLLARS, verify=2)
        assert "remarks" not in proven
        assert [(line["grade"], line["state"]) for line in proven["fixes"]] == [("A", "confirmed")]
        assert before == (
            git(shop, "status", "--porcelain"),
            git(shop, "worktree", "list"),
            money.read_text(),
        )
    async with connect(shop) as another:
        [line] = (await another.call("test_history", view="fixes", test=DOLLARS))["fixes"]
        assert line["grade"] == "A"


async def test_change_that_did_not_mend_it_is_not_proven(shop, connect):
    # Whether it fails is told by a file that git does not know.
    switch = shop.parent / "switch"
    (shop / "tests" / "test_cart.py").write_text(
        "import pathlib\nfrom shop import colour\n\n"
        f"def test_dollars():\n    assert colour.COLOUR\n    assert not pathlib.Path({str(switch)!r}).exists()\n"
    )
    git(shop, "commit", "-qam", "switch")
    switch.touch()
    async with connect(shop) as agent:
        assert (await agent.call("run_tests"))["status"] == "failed"
        switch.unlink()
        (shop / "shop" / "colour.py").write_text("COLOUR = 'blue'\n")
        assert (await agent.call("run_tests"))["status"] == "passed"
        [line] = (await agent.call("test_history", view="fixes", verify=2))["fixes"]
        assert (line["grade"], line["state"]) == ("C", "candidate")


async def test_the_change_where_the_traceback_ended_is_the_one_that_is_shown(shop, connect):
    money, colour = shop / "shop" / "money.py", shop / "shop" / "colour.py"
    money.write_text("def rate():\n    return {'EUR': 1.0, 'USD': 1.1}['USD']\n")
    test = shop / "tests" / "test_cart.py"
    test.write_text("from shop import colour, money\ndef test_dollars():\n    assert money.rate()\n")
    git(shop, "commit", "-qam", "rate")
    right = money.read_text()
    async with connect(shop) as agent:
        money.write_text(right.replace(", 'USD': 1.1", ""))
        assert (await agent.call("run_tests"))["status"] == "failed"
        money.write_text(right + "# again\n")
        colour.write_text("COLOUR = 'red'  # tidied\n")
        assert (await agent.call("run_tests"))["status"] == "passed"
        [line] = (await agent.call("test_history", view="fixes"))["fixes"]
    assert line["files"] == ["shop/money.py", "shop/colour.py"]
    assert "USD" in line["hunk"]
