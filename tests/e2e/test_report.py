"""`pytest-recall report` at a shell: what it writes, where, and what it says when it cannot."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from pytest_recall.answers.overview import Overview

FAILING = """
    import pytest

    @pytest.mark.parametrize("text", ["plain", "`` ` **bold** | <b> @everyone"])
    def test_total(text):
        password = "hunter2"
        print("token=ghp_0123456789abcdefghij")
        assert {"sku": text} == {"sku": "x"}, f"password={password}"

    def test_fine(): ...
"""


@pytest.fixture(scope="module")
def recall(in_process):
    def call(root: Path, *words: str, code: int = 0) -> str:
        done = in_process(words[0], "--project", str(root), *words[1:], cwd=root)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    return call


@pytest.fixture(scope="module")
def shop(tmp_path_factory, recall) -> Path:
    """A project that passed, fails now, and of which CI told that it passes there."""
    root = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(home))
        patch.setenv("PYTEST_RECALL_PYTHON", sys.executable)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        (root / "pytest.ini").write_text("[pytest]\n")
        test = root / "test_cart.py"
        test.write_text(textwrap.dedent(FAILING).replace('== {"sku": "x"}', "!= {}"))
        recall(root, "run", "-q")
        exported = root / "ci.xml"
        recall(root, "export", "--format", "junit", "-o", str(exported))
        # As somebody else's report: by its id it would be known for the run that it was made from.
        exported.write_text(exported.read_text().replace("pytest-recall.", "elsewhere."))
        recall(root, "import", str(exported), "--job", "ci")
        exported.unlink()
        test.write_text(textwrap.dedent(FAILING))
        recall(root, "run", "-q", code=1)
        yield root


@pytest.fixture(scope="module")
def formats(shop, recall) -> dict[str, str]:
    """What `report` prints in each format."""
    names = ("html", "json", "markdown")
    return {name: recall(shop, "report", "--format", name, "-o", "-") for name in names}


def test_the_page_lies_in_the_stores_folder_where_no_other_is_named(shop, recall):
    before = {path.name for path in shop.iterdir()}
    answer = json.loads(recall(shop, "report", "--json"))
    page = Path(answer["file"])
    assert page == shop / ".pytest-recall" / "report.html"
    assert page.stat().st_size == answer["bytes"] < 300_000
    assert (answer["status"], answer["runs"], answer["tests"], answer["causes"]) == ("failed", 3, 3, 1)
    assert {path.name for path in shop.iterdir()} == before


def test_the_page_is_one_file_that_asks_for_nothing(formats):
    text = formats["html"]
    assert (
        re.findall(r"""\b(?:src|srcset|action|data|poster)\s*=\s*["']""", text.partition("<script")[0]) == []
    )
    assert {href[:6] for href in re.findall(r'href="([^"]*)"', text) if not href.startswith("#")} == {
        "data:i"
    }
    assert "default-src &#39;none&#39;" in text
    assert "unsafe" not in text.partition("</head>")[0].partition("<style>")[0]


def test_json_is_the_typed_report(formats):
    report = Overview.model_validate_json(formats["json"])
    assert [run.status for run in report.runs] == ["passed", "passed", "failed"]
    assert sorted(run.space for run in report.runs) == ["ci", "local", "local"]
    assert [run.whole for run in report.runs] == [True] * 3
    [cause] = report.causes
    assert (cause.error, len(cause.tests)) == ("AssertionError", 2)
    assert "{'sku': " in cause.text
    assert report.known == []  # what fails now is no cause of the past
    failing = [test for test in report.tests if test.outcome == "failed"]
    assert [test.outcomes for test in failing] == ["..F", "..F"]
    assert sorted(failing[0].runs) == [0, 1, 2]  # an imported run has the time of the one it tells of
    assert report.change is not None
    assert len(report.change.newly_failing) == 2
    assert report.apart is not None
    assert len(report.apart.newly_failing) == 2
    assert {line.space for line in report.spaces} == {"local", "ci"}


def test_secrets_stay_out_of_every_format(formats):
    for told in formats.values():
        assert "sku" in told
        assert "hunter2" not in told.replace('password = "hunter2"', "")
        assert "ghp_0123" not in told


def test_markdown_keeps_text_as_text(formats):
    told = formats["markdown"]
    assert told.startswith("### ❌ ")
    assert "2 failed" in told
    assert len(told) < 60_000
    blocks = MarkdownIt("commonmark").parse(told)
    inline = [token for block in blocks for token in block.children or ()]
    codes = [token.content for token in inline if token.type == "code_inline"]
    assert "test_cart.py::test_total[`` ` **bold** | <b> @everyone]" in codes
    own = [token.content.strip() for token in inline if token.type == "html_inline"]
    assert set(own) == {"<sub>", "</sub>"}
    html = "".join(token.content for token in blocks if token.type == "html_block")
    assert set(re.findall(r"</?\w+", html)) == {
        "<details",
        "</details",
        "<summary",
        "</summary",
        "<code",
        "</code",
        "<b",
        "</b",
    }
    plain = "".join(token.content for token in inline if token.type == "text")
    assert "@" not in plain
    assert "bold" not in plain


def test_a_space_and_a_window_narrow_it(shop, recall):
    here = Overview.model_validate_json(recall(shop, "report", "--format", "json", "--space", "ci"))
    assert [run.status for run in here.runs] == ["passed"]
    assert (here.causes, here.apart, here.space) == ([], None, "ci")
    later = recall(shop, "report", "--window", "2999-01-01", code=4)
    assert "No run is kept" in later
    assert "--window" in later


def test_it_is_set_beside_the_run_that_is_named(shop, recall):
    beside = Overview.model_validate_json(recall(shop, "report", "--format", "json", "--compare", "ci"))
    assert beside.change is not None
    assert beside.change.before.source.startswith("ci/")
    assert "No run fits" in recall(shop, "report", "--compare", "zzzz", code=4)


@pytest.mark.parametrize(
    ("where", "why"), [("{root}", "folder"), ("/dev/full", "device"), ("{root}/none/page.html", "no folder")]
)
def test_a_folder_or_a_device_is_refused(shop, where, why, recall):
    before = sorted(shop.iterdir())
    assert why in recall(shop, "report", "-o", where.format(root=shop), code=4)
    assert sorted(shop.iterdir()) == before


def test_it_says_what_to_do_where_nothing_is_kept(tmp_path, monkeypatch, recall):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told = recall(tmp_path, "report", "-o", str(tmp_path / "page.html"), code=4)
    assert "pytest-recall run" in told
    assert not (tmp_path / "page.html").exists()


def test_the_browser_is_shown_the_page(shop, tmp_path):
    def recall(*words: str, code: int = 0, **env: str) -> str:  # a process looks for browsers but once
        command = [sys.executable, "-m", "pytest_recall", "report", "--project", str(shop), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{shown}.part'; mv '{shown}.part' '{shown}'\n")
    browser.chmod(0o755)
    answer = json.loads(recall("--open", "--json", BROWSER=f"{browser} %s"))
    assert answer["opened"] is True
    assert shown.read_text().strip() == Path(answer["file"]).as_uri()
    told = recall("--open", BROWSER="/bin/false %s", code=1)
    assert "1 cause of failure" in told
    assert "open that file yourself" in told
    assert "--open" in recall("--open", "--format", "json", code=4)


def test_the_server_never_loads_what_only_pages_need():
    loads = "import sys, pytest_recall.server, pytest_recall.answers.history; print('jinja2' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loads], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_a_green_run_of_one_test_does_not_make_the_page_green(shop, recall):
    # The last one: it adds to what the others look at.
    recall(shop, "run", "-q", "test_cart.py::test_fine")
    told = {name: recall(shop, "report", "--format", name, "-o", "-") for name in ("html", "markdown")}
    assert '<p class="verdict failed">the newest run passed, others did not</p>' in told["html"]
    assert "<b>2</b> of 3 tests fail" in told["html"]
    assert told["markdown"].startswith("### ❌ ")


def test_a_run_that_ran_nothing_is_not_given_what_others_saw(shop, recall):
    recall(shop, "run", "--no-such-option", code=4)
    page = recall(shop, "report", "-o", "-")
    lead = re.search('<p class="lead">(.*)', page)[1]
    assert lead.startswith("<bdi>pytest knows no &#39;--no-such-option&#39;.")
    assert "</bdi> No test ran. Of the runs before: <b>2</b> of 3 tests fail for 1 reason." in lead
    assert lead.count("--no-such-option") == 1
