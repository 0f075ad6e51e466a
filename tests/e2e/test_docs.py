"""The documentation builds without a warning, says what the code says, and its examples do what they show.

A page's `console` and `python` blocks are run in order, in one shell, in a copy of the sample project that is a git
repository. A command must end with 0, or with what its comment `# exit code N` says; lines that stand under it must come in
its output in that order, `…` standing for anything. `<!-- not run: reason -->` before a block leaves it out. Blocks
of json, toml and yaml must be readable as such.
"""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
FENCE = re.compile(
    r"(?:^<!-- (?P<word>not run|needs): (?P<reason>[^\n]+?) -->\n+)?^(?P<mark>```|:::)(?P<kind>[\w{}-]*)[^\n]*\n(?P<body>.*?)^(?P=mark)$",
    re.MULTILINE | re.DOTALL,
)
LIMIT_S = 240  # of a whole page, on a loaded machine
END = "\x1e"  # after the output of each command; none of them prints it


@dataclass(frozen=True)
class Command:
    words: str
    code: int = 0
    shown: list[str] = field(default_factory=list)


def blocks(page: Path, *kinds: str) -> Iterator[re.Match[str]]:
    for found in FENCE.finditer(page.read_text("utf-8")):
        if found["kind"] in kinds and found["word"] != "not run":
            yield found


def commands(page: Path) -> list[Command]:
    made: list[Command] = []
    for block in blocks(page, "console", "python"):
        if block["kind"] == "python":
            made.append(Command(f"python - <<'END_OF_PYTHON'\n{block['body']}END_OF_PYTHON"))
            continue
        for line in block["body"].splitlines():
            if line.startswith("$ "):
                code = re.search(r"# exit code (\d+)", line)
                made.append(Command(line[2:], int(code[1]) if code else 0))
            elif line.strip():
                made[-1].shown.append(line)
    return made


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


RUNNABLE = [page for page in PAGES if commands(page)]


def test_there_are_examples_to_run():
    assert {"docs/tutorial.md", "docs/howto/clients.md"} <= set(names(RUNNABLE))


@pytest.mark.parametrize("page", RUNNABLE, ids=names(RUNNABLE))
def test_the_examples_of_a_page_do_what_they_show(page, tmp_path):
    project = tmp_path / "shop"
    shutil.copytree(ROOT / "examples" / "shop", project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    wanted = commands(page)
    script = "".join(f"{{ {one.words}\n}} 2>&1 </dev/null; printf '{END}%s\\n' $?\n" for one in wanted)
    script = script.replace("END_OF_PYTHON\n} 2>&1 </dev/null;", "END_OF_PYTHON\n} 2>&1;")
    git = "git init -q && git add -A && git commit -qm start || exit 99\n"
    ours = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (project / ".venv").symlink_to(sys.prefix)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        ["timeout", "--kill-after=5", str(LIMIT_S), "bash", "-c", git + script],
        cwd=project,
        env={**environ, "PATH": ours, "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **AUTHOR},
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.split(rf"{END}(\d+)\n", done.stdout)
    if len(told) // 2 != len(wanted):
        pytest.fail(
            f"$ {wanted[len(told) // 2].words}\ndid not end within {LIMIT_S} s\n{told[-1]}{done.stderr}"
        )
    for one, output, code in zip(wanted, told[::2], told[1::2], strict=False):
        assert int(code) == one.code, f"$ {one.words}\n{output}"
        pattern = r".*?".join(re.escape(line).replace("…", ".*?") for line in one.shown)
        assert re.search(pattern, output, re.DOTALL), f"$ {one.words}\n{output}\ndoes not show\n" + "\n".join(
            one.shown
        )


AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "me"), ("EMAIL", "me@example.org"))
}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_configurations_that_are_shown_can_be_read(page):
    import yaml

    for block in blocks(page, "json", "toml", "yaml"):
        text = block["body"]
        {"json": json.loads, "toml": tomllib.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}[
            block["kind"]
        ](text)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("furo", reason="the documentation needs the extra 'docs'")
    built = tmp_path_factory.mktemp("site")
    sphinx = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-n",
        "-W",
        "--keep-going",
        "-d",
        str(built / ".doctrees"),
    ]
    done = subprocess.run(
        [*sphinx, str(DOCS), str(built)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return built


def test_the_site_is_built_with_warnings_as_errors_and_holds_every_page(site):
    for page in PAGES:
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file(), page


def test_a_link_into_a_page_leads_to_a_place_of_it(site):
    places = {
        page.resolve(): set(re.findall(r'\bid="([^"]+)"', page.read_text("utf-8")))
        for page in site.rglob("*.html")
    }
    assert len(places) > 5
    dead = []
    for page in places:
        for link in re.findall(r'href="([^"#:]*)#([^"]+)"', page.read_text("utf-8")):
            target = (page.parent / link[0]).resolve() if link[0] else page
            if target in places and link[1] not in places[target] and link[1] != "":
                dead.append(f"{page.relative_to(site)} → {link[0]}#{link[1]}")
    assert dead == []


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("sphinx", reason="the documentation needs the extra 'docs'")
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        yield importlib.import_module("recall_reference")
    finally:
        sys.path.remove(str(DOCS / "_ext"))


def test_the_reference_names_every_tool_parameter_setting_command_event_and_finding(reference):
    from pytest_recall.config import Settings
    from pytest_recall.running import events

    texts = {name: make() for name, make in reference.TEXTS.items()}
    for name in ("discover_tests", "run_tests", "test_history", "record_note"):
        assert f"## `{name}`" in texts["tools"]
    assert "| `wait_s` |" in texts["tools"]
    assert "| `fingerprint` |" in texts["tools"]
    assert "#### CauseLine" in texts["tools"]
    assert "`review_change`" in texts["prompts"]
    assert "pytest-recall://runs/{run_id}" in texts["prompts"]
    assert all(
        f"| `{name}` | `PYTEST_RECALL_{name.upper()}` |" in texts["settings"]
        for name in Settings.model_fields
    )
    assert all(
        f"## `pytest-recall {name}`" in texts["commands"] for name in ("serve", "run", "doctor", "install")
    )
    assert texts["events"].count("## `") == len(events._READERS)
    assert "Make an environment (python -m venv .venv)" in texts["findings"]
    assert "<folder>/inbox/<run id>.run" in texts["store"]
    assert "`runs`, `outcomes`, `tests`" in texts["store"]
    assert "| `started_at` | float | always |" in texts["record"]


def test_a_bar_in_a_text_does_not_break_a_table(reference):
    assert reference.table(("a",), [("x | y\nz",)]).splitlines()[-1] == r"| x \| y z |"
