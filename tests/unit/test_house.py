"""The rules of the house that no linter knows: sizes, paths, packaging, and documents that must not drift."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CLIENTS = sorted((ROOT / "examples" / "clients").rglob("*.json"))
ADRS = sorted((ROOT / "adr").glob("*.md"))


def tracked() -> list[Path]:
    """Every file of the repository, or of the unpacked sdist."""
    if (ROOT / ".git").exists():
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        return [path for name in names.decode().split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and "/." not in path.as_posix()]


def lines_with(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_module_outgrows_what_one_sentence_can_describe() -> None:
    modules = list((ROOT / "src").rglob("*.py"))
    assert modules
    assert [str(path) for path in modules if path.stat().st_size > 24_000] == []


def test_every_module_says_in_one_docstring_what_lives_there() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*.py")
        if not re.match(r'(#[^\n]*\n)*r?"""\S', path.read_text("utf-8"))
    ]
    assert silent == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_with(r"""(?:^|[\s"'=(:`])/(?:root|work)/""") == []


def test_no_file_names_where_packages_were_downloaded() -> None:
    assert (
        lines_with(r"(?i)https?://\S+\.(?:whl|tar\.gz|tgz)\b|\bindex[-_]url\s*[=:]|registry\s*=\s*[\"']")
        == []
    )


def test_constraints_are_names_and_versions_and_cover_every_dependency() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)] == []

    pinned = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in project["dependencies"] + extras["test"] + extras["lint"]]
    assert [str(r) for r in wanted if pinned.get(canonicalize_name(r.name), "") not in r.specifier] == []


def test_readme_marks_the_command_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    [command] = re.findall(r"<!-- tests -->\s*```\w*\n(?:\$ )?(.+)\n```", readme)
    assert "-c constraints.txt" in command
    # .ci/run parts it before its end.
    assert command.rpartition(" && ")[2] == ".venv/bin/python -m pytest -n 2 --dist worksteal"


def test_shop_fix_names_exactly_one_place() -> None:
    shop = ROOT / "examples" / "shop"
    fix = json.loads((shop / "fix.json").read_text("utf-8"))
    source = (shop / fix["file"]).read_text("utf-8")
    assert source.count(fix["old"]) == 1
    assert fix["old"].count("\n") == fix["new"].count("\n") == 1


@pytest.mark.parametrize(
    "path", CLIENTS, ids=lambda path: path.relative_to(ROOT / "examples/clients").as_posix()
)
def test_client_configuration_starts_the_server(path: Path) -> None:
    configuration = json.loads(path.read_text("utf-8"))
    key = "servers" if "vscode" in path.parts else "mcpServers"
    server = configuration[key]["pytest-recall"]
    assert [server["command"], server["args"][0]] == ["pytest-recall", "serve"]


def test_decisions_are_numbered_dated_and_at_most_a_page() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    form = re.compile(
        r"# (\d+)\. [^\n]+\n\nDate: \d{4}-\d\d-\d\d\. Status: [^\n]+\n\n## Context\n.+\n## Options\n.+\n"
        r"## Outcome\n.+\n## Consequences\n.+",
        re.DOTALL,
    )
    for path in ADRS:
        text = path.read_text("utf-8")
        match = form.fullmatch(text)
        assert match, path.name
        assert int(match[1]) == int(path.name[:4])
        assert len(text.splitlines()) <= 60, path.name


def test_wheel_holds_the_probe_and_the_shop_and_no_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hatchling import build

    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build.build_wheel(str(tmp_path))) as wheel:
        names = wheel.namelist()

    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"pytest_recall", "recall_probe"}
    for needed in ("pytest_recall/py.typed", "recall_probe/__init__.py", "pytest_recall/_shop/fix.json"):
        assert needed in names
    assert [name for name in names if "/test_" in name and "/_shop/tests/" not in name] == []
    assert [name for name in names if "__pycache__" in name or "/.pytest" in name] == []
