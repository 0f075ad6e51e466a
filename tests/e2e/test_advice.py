"""What to do about a failure: hints that name the cause, each with its evidence, and what became of them."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

SHOP = {
    ".gitignore": "__pycache__\n.pytest-recall\n.venv\n",
    "pyproject.toml": '[project]\nname = "shop"\n[project.optional-dependencies]\nyaml = ["PyYAML>=6"]\n',
    "shop/__init__.py": "",
    "shop/money.py": 'RATES = {"EUR": 1.0, "USD": 1.1}\n',
    "shop/cart.py": "from shop.money import RATES\n\ndef total(prices, code):\n    return sum(prices) * RATES[code]\n",
    "shop/words.py": "HELLO = 'hello'\n",
    "tests/test_cart.py": """
        from shop.cart import total

        def test_dollars():
            assert total([10], "USD") == 11
    """,
}
CART = "tests/test_cart.py::test_dollars"


def git(root: Path, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "-C", root, *words], env={**os.environ, **who}, check=True, capture_output=True)


@pytest.fixture
def shop(make_project) -> Path:
    root = make_project(SHOP)
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a shop")
    return root


def hints(answer: dict, error: str = "") -> list[str]:
    [group] = [one for one in answer["failures"] if error in one["error"]]
    return group.get("hints", [])


async def test_common_causes_are_named_with_what_mends_them(make_project, connect):
    root = make_project(
        {
            "pyproject.toml": '[project]\nname = "shop"\n[project.optional-dependencies]\ngraphs = ["python-igraph"]\n',
            "a/test_same.py": "def test_x(): ...\n",
            "b/test_same.py": "def test_x(): ...\n",
            "test_extra.py": "import igraph\n",
            "test_unknown.py": "import no_such_module_of_anybody\n",
            "c/data.txt": "x",
            "c/test_folder.py": "def test_reads(): open('data.txt')\n",
            "c/test_names.py": """
                import pytest

                @pytest.fixture
                def order_total(): ...

                def test_typo(order_totl): ...
            """,
        }
    )
    async with connect(root) as agent:
        answer = await agent.call("run_tests")
        assert answer["status"] == "collection_failed"
        [clash] = hints(answer, "ImportPathMismatchError")
        assert clash.startswith("Two test modules are called test_same.py: rename one, or add an __init__.py")
        assert "a/test_same.py" in clash
        assert "b/test_same.py" in clash
        extra, unknown = (
            [hint for group in answer["failures"] if name in repr(group) for hint in group["hints"]]
            for name in ("test_extra.py", "test_unknown.py")
        )
        assert extra == [
            (
                f"Install python-igraph: `{sys.executable} -m pip install python-igraph`. "
                "(the project asks for it: extra 'graphs' in pyproject.toml)"
            )
        ]
        assert "pip install" not in unknown[0]
        assert "look it up" in unknown[0]

        answer = await agent.call("run_tests", tests=["c"])
        [folder] = hints(answer, "FileNotFoundError")
        assert "the file is c/data.txt" in folder
        [typo] = hints(answer, "FixtureLookupError")
        assert typo.startswith("There is no fixture `order_totl`; did you mean `order_total`?")


async def test_the_likely_culprit_is_named_and_what_became_of_the_suggestion(shop, connect):
    money = shop / "shop" / "money.py"
    good = money.read_text()
    async with connect(shop) as agent:
        assert (await agent.call("run_tests"))["status"] == "passed"
        (shop / "shop" / "words.py").write_text("HELLO = 'good day'\n")
        money.write_text('RATES = {"EUR": 1.0}\n')
        red = await agent.call("run_tests")
        [hint] = hints(red)
        assert hint.startswith(
            "Look first at shop/money.py, changed since it passed. (shop/money.py is imported"
        )
        assert "2 files changed since the run of 20" in hint
        [stored] = (await agent.call("test_history", view="failures"))["failures"]
        assert [note.partition(",")[0] for note in stored["notes"]] == ["suggestion"]

        money.write_text(good + "# again\n")
        assert (await agent.call("run_tests"))["status"] == "passed"
        [stored] = (await agent.call("test_history", view="failures"))["failures"]
        assert [note.partition(",")[0] for note in stored["notes"]] == ["suggestion (worked)"]

        money.write_text('RATES = {"EUR": 1.0}\n')
        [hint, *_] = hints(await agent.call("run_tests"))
        assert hint.startswith("Look first at shop/money.py")
        assert hint.endswith("It worked before.")


async def test_edits_that_do_not_reach_the_failure_are_called_a_loop(shop, connect):
    (shop / "shop" / "cart.py").write_text(
        "from shop.money import RATES\n\ndef total(prices, code):\n    return sum(prices) * RATES[code.lower()]\n"
    )
    async with connect(shop) as agent:
        told = []
        for turn in range(4):
            (shop / "shop" / "words.py").write_text(f"HELLO = 'hello {turn}'\n")
            told.append(hints(await agent.call("run_tests")))
        assert not any("times with the same fingerprint" in hint for turn in told[:3] for hint in turn)
        loop = told[3][0]
        assert loop.startswith(
            "This test failed 4 times with the same fingerprint, whatever was edited; no edit has reached shop/cart.py"
        )
        assert "shop/words.py" in loop


async def test_what_was_upgraded_since_the_test_passed_is_named_with_the_way_back(shop, connect, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [site] = venv.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(sysconfig.get_path("purelib"))

    def install(version: str, source: str) -> None:
        for old in site.glob("tinydep-*"):
            (old / "METADATA").unlink()
            old.rmdir()
        (site / f"tinydep-{version}.dist-info").mkdir()
        (site / f"tinydep-{version}.dist-info" / "METADATA").write_text(
            f"Name: tinydep\nVersion: {version}\n"
        )
        (site / "tinydep.py").write_text(source)

    install("1.4.0", "def soft(x): return x\n")
    (shop / "tests" / "test_dep.py").write_text(
        "import tinydep\n\ndef test_soft(): assert tinydep.soft(1) == 1\n"
    )
    async with connect(shop, "--python", str(venv / "bin" / "python")) as agent:
        assert (await agent.call("run_tests"))["status"] == "passed"
        install("2.0", "def hard(x): return x\n")
        [upgrade, *_] = hints(await agent.call("run_tests"))
        assert upgrade.startswith(
            "tinydep 1.4.0 → 2.0 since it passed: adapt to the new version, or go back (`"
        )
        assert "-m pip install tinydep==1.4.0`)" in upgrade


async def test_a_session_that_cannot_begin_is_met_with_what_mends_it(make_project, connect):
    root = make_project({"conftest.py": "import yaml_of_nobody\n", "test_a.py": "def test_a(): ...\n"})
    async with connect(root) as agent:
        answer = await agent.call("run_tests")
        assert "`yaml_of_nobody` is not installed there" in answer["next_step"]
        (root / "conftest.py").write_text("import igraph\n")
        answer = await agent.call("run_tests")
        assert "Install python-igraph" in answer["next_step"]
