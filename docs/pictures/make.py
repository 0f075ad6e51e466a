"""The pictures of the HTML report, made anew from a public project's real runs.

    python docs/pictures/make.py SOURCES --python VENV/bin/python --changes mutations.toml

SOURCES (tomlkit 0.15.2 unpacked; it is copied, never touched) are run as they are and with changes of one
line, which are made and taken back as somebody at work would. `mutations.toml` lists such changes: `id`,
`file`, `old`, `new`. Needs chromium, and this project installed with its extra `test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# What is changed before each run: `+` makes a change, `-` takes it back.
STORY = (
    ([], "look at what is there"),
    (["+tomlkit-underscore"], "simplify how numbers are read"),
    (["-tomlkit-underscore"], "underscores must stand between digits: put the check back"),
    (["+tomlkit-escape-e"], "escapes by their code points"),
    (["-tomlkit-escape-e"], "\\e is the escape character, 1b"),
    ([], ""),
    (["+tomlkit-utc-offset"], "offsets without a sign"),
    ([], "look again"),
    (["-tomlkit-utc-offset"], "west of Greenwich is negative"),
    ([], ""),
    (["+tomlkit-key-space"], "less code for keys"),
    (["-tomlkit-key-space"], "bare keys hold no spaces"),
    ([], ""),
    (["+tomlkit-escape-e", "+tomlkit-utc-offset"], "tables instead of branches"),
)
IN_CI = (0, 5, 9, 12)  # runs that CI had too


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--changes", type=Path, required=True)
    options = parser.parse_args()
    changes = {one["id"]: one for one in tomllib.loads(options.changes.read_text("utf-8"))["mutation"]}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HOME=folder, XDG_STATE_HOME=f"{folder}/state", XDG_CACHE_HOME=f"{folder}/cache")
        root = Path(folder) / options.sources.resolve().name.partition("-")[0]
        shutil.copytree(options.sources, root, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        _tell(root, options.python, changes)
        _call("report", root, "-o", f"{folder}/page.html")
        _pictures(Path(folder) / "page.html")


def _tell(root: Path, python: str, changes: dict[str, dict[str, str]]) -> None:
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for number, (edits, intent) in enumerate(STORY):
        for edit in edits:
            change = changes[edit[1:]]
            old, new = (change["old"], change["new"]) if edit[0] == "+" else (change["new"], change["old"])
            path = root / change["file"]
            text = path.read_text("utf-8")
            if text.count(old) != 1:
                raise SystemExit(f"{edit}: {text.count(old)} places fit in {path.name}")
            path.write_text(text.replace(old, new), "utf-8")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", intent or "no change"], check=True)
        _call("run", root, "--python", python, "--intent", intent, "-q", code=None)
        if number in IN_CI:
            commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
            report = root.parent / f"ci-{number}.xml"
            _call("export", root, "--format", "junit", "-o", str(report))
            _call("import", root, str(report), "--revision", commit.stdout.strip(), "--job", "linux-py311")


def _call(name: str, root: Path, *words: str, code: int | None = 0) -> None:
    command = [sys.executable, "-m", "pytest_recall", name, "--project", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if code is not None and done.returncode != code:
        raise SystemExit(f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _pictures(page: Path) -> None:
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for scheme in ("light", "dark"):
            tab = browser.new_page(color_scheme=scheme, viewport={"width": 1080, "height": 780})
            tab.goto(page.as_uri())
            tab.screenshot(path=HERE / f"report-{scheme}.png")
            tab.click("#filters button[data-filter=failing]")
            tab.locator("#list > li > button").first.click()
            tab.mouse.move(0, 0)
            tab.locator("#tests").evaluate("node => node.scrollIntoView({ behavior: 'instant' })")
            tab.screenshot(path=HERE / f"test-{scheme}.png")
        phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=1)
        phone.goto(page.as_uri())
        phone.screenshot(path=HERE / "report-phone.png")
        browser.close()


if __name__ == "__main__":
    main()
