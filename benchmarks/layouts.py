"""Environments that the real tools make, and the interpreter that is found in each: nothing is created or synced by us.

python benchmarks/layouts.py [--only uv poetry …] [--base PYTHON]

Installs the tools from PyPI into a folder of its own, lets each make an environment with pytest for a small project,
and then: the interpreter is that environment's, `pytest-recall run` is green with it and says why it was taken, and
no file of the project or the environment was added. Then the same project without an environment: none is made.
Takes some minutes and the network; the layouts themselves are covered by tests/integration/test_target.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.9"
dependencies = ["pytest>=8"]
"""
TOOLS = ("uv", "poetry", "pdm", "hatch", "tox", "nox", "virtualenv")


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the tools are, and what they are told."""

    tools: Path
    base: str  # the Python that environments are made of
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def do(self, folder: Path, *command: str) -> str:
        program = self.tools / "bin" / command[0]
        words = [str(program) if program.exists() else command[0], *command[1:]]
        done = subprocess.run(
            words, cwd=folder, env=self.environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout


Make = Callable[[Workshop, Path], None]


def uv(shop: Workshop, folder: Path) -> None:
    shop.do(folder, "uv", "sync", "-q", "--no-python-downloads", "--python", shop.base)


def venv(shop: Workshop, folder: Path) -> None:
    shop.do(folder, shop.base, "-m", "venv", "venv")
    shop.do(folder, "venv/bin/python", "-m", "pip", "install", "-q", "pytest")


def poetry(shop: Workshop, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT + "\n[tool.poetry]\npackage-mode = false\n")
    shop.do(folder, "poetry", "env", "use", "-q", shop.base)
    python = shop.do(folder, "poetry", "env", "info", "-e").strip().splitlines()[-1]
    shop.do(folder, "uv", "pip", "install", "-q", "--python", python, "pytest")


def pdm(shop: Workshop, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT + "\n[tool.pdm]\ndistribution = false\n")
    shop.do(folder, "pdm", "config", "venv.in_project", "false")
    shop.do(folder, "pdm", "venv", "create", "-q", "--name", "elsewhere", shop.base)
    shop.do(folder, "pdm", "use", "-q", "--venv", "elsewhere")
    python = (folder / ".pdm-python").read_text().strip()
    shop.do(folder, "uv", "pip", "install", "-q", "--python", python, "pytest")


def hatch(shop: Workshop, folder: Path) -> None:
    settings = f'\n[tool.hatch.envs.default]\nskip-install = true\ndependencies = ["pytest"]\npython = "{shop.base}"\n'
    (folder / "pyproject.toml").write_text(PROJECT + settings)
    shop.do(folder, "hatch", "env", "create")


def tox(shop: Workshop, folder: Path) -> None:
    (folder / "tox.ini").write_text(
        f"[testenv]\nskip_install = true\ndeps = pytest\nbase_python = {shop.base}\n[tox]\nenv_list = test\n"
    )
    shop.do(folder, "tox", "run", "-q", "-e", "test", "--notest")


def nox(shop: Workshop, folder: Path) -> None:
    (folder / "noxfile.py").write_text(
        "import nox\n@nox.session\ndef test(session): session.install('pytest')\n"
    )
    shop.do(folder, "nox", "-s", "test")


def conda(shop: Workshop, folder: Path) -> None:
    """A prefix as conda lays it out: a whole Python, `conda-meta`, and no `pyvenv.cfg`."""
    real = Path(shop.do(folder, shop.base, "-c", "import sys; print(sys.base_prefix)").strip())
    prefix = folder / "env"
    left_out = shutil.ignore_patterns("test", "site-packages", "__pycache__", "*.a", "idlelib", "tkinter")
    for place in real.glob("lib/python3.*"):
        shutil.copytree(place, prefix / "lib" / place.name, ignore=left_out)
    (prefix / "bin").mkdir()
    shutil.copy(real / "bin" / "python3", prefix / "bin" / "python3", follow_symlinks=True)
    (prefix / "bin" / "python").symlink_to("python3")
    (prefix / "conda-meta").mkdir()
    shop.do(folder, "env/bin/python", "-m", "ensurepip")
    shop.do(folder, "env/bin/python", "-m", "pip", "install", "-q", "pytest")


LAYOUTS: dict[str, tuple[Make, str]] = {
    "venv": (venv, "venv"),
    "uv": (uv, ".venv"),
    "poetry": (poetry, "poetry"),
    "pdm": (pdm, ".pdm-python"),
    "hatch": (hatch, "hatch"),
    "tox": (tox, ".tox/test"),
    "nox": (nox, ".nox/test"),
    "conda": (conda, "conda prefix env"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--base", default=sys.executable)
    parser.add_argument("--tools", type=Path, help="an environment that has the tools already")
    options = parser.parse_args()
    failed = 0
    with workshop(options.tools, options.base) as shop:
        print(
            "| made by | source that the answer names | interpreter | added by us | without an environment |"
        )
        print("| --- | --- | --- | --- | --- |")
        for name in options.only:
            failed += not shown(shop, name, *LAYOUTS[name])
    return bool(failed)


@contextmanager
def workshop(tools: Path | None, base: str) -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory(prefix="layouts-") as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        if tools is None:
            tools = Path(scratch) / "tools"
            subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
            subprocess.run([str(tools / "bin" / "pip"), "install", "-q", *TOOLS], check=True)
        taken = {"VIRTUAL_ENV", "PYTHONPATH", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"}
        environ = {name: value for name, value in os.environ.items() if name not in taken}
        path = os.pathsep.join([str(tools.absolute() / "bin"), environ["PATH"]])
        yield Workshop(
            tools, base, home, environ | {"HOME": str(home), "PATH": path, "PDM_CHECK_UPDATE": "0"}
        )


def shown(shop: Workshop, name: str, make: Make, source: str) -> bool:
    folder = shop.home.parent / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "test_shop.py").write_text("import sys\ndef test_prefix(): assert sys.prefix\n")
    marker = shop.home.parent / f"{name}-without"
    make(shop, folder)
    before = listing(folder, shop.home)
    answer = asked(shop, folder)
    added = sorted(path for path in listing(folder, shop.home) - before if not harmless(path))
    target = json.loads(shop.do(folder, sys.executable, "-c", RESOLVE, str(folder)))
    # The same project where nobody has made an environment yet: the managers' files are there, and they stay alone.
    marker.mkdir()
    for file in folder.iterdir():
        if file.is_file() and file.name != ".pdm-python":
            shutil.copy(file, marker)
    unmade = listing(marker, shop.home)
    resolved = json.loads(shop.do(marker, sys.executable, "-c", RESOLVE, str(marker)))
    made = sorted(path for path in listing(marker, shop.home) - unmade if not harmless(path))
    good = (
        answer.get("status") == "passed"
        and target["source"] == source
        and not added
        and not made
        and resolved["source"] in {"PATH", "none"}
    )
    python = target["python"].replace(str(folder), ".").replace(str(shop.home), "~")
    print(
        f"| {name} | `{target['source']}` | `{python}` | {', '.join(added) or 'nothing'} | `{resolved['source']}`,"
        f" {', '.join(made) or 'nothing made'} |{'' if good else ' WRONG ' + str(answer)[:300]}",
        flush=True,
    )
    return good


RESOLVE = """
import json, os, sys
from pathlib import Path
from pytest_recall.errors import NoInterpreter
from pytest_recall.running import target
try:
    found = target.resolve(Path(sys.argv[1]), environ=os.environ)
    print(json.dumps({"python": found.python, "source": found.source}))
except NoInterpreter:
    print(json.dumps({"python": "", "source": "none"}))
"""


def asked(shop: Workshop, folder: Path) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "pytest_recall",
        "run",
        "test_shop.py",
        "--json",
        "--project",
        str(folder),
    ]
    done = subprocess.run(command, env=shop.environ, cwd=folder, capture_output=True, text=True, check=False)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return {"status": done.stdout[-300:] + done.stderr[-300:]}


def listing(project: Path, home: Path) -> set[str]:
    """Every file of the project, and of the user's home what belongs to an environment."""
    inside = {str(path) for path in project.rglob("*")}
    return inside | {
        str(path) for path in home.rglob("*") if {"pyvenv.cfg", "site-packages"} & set(path.parts)
    }


def harmless(path: str) -> bool:
    """What any run of Python leaves, and our own store."""
    return "__pycache__" in path or "/.pytest-recall" in path


if __name__ == "__main__":
    sys.exit(main())
