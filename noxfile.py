"""The probe's contract on every pytest it must run under: `nox` (all that can be installed), `nox -s probe-3.9-8.4`.

The contract tests run in the environment that runs nox (`pip install -e ".[test]" nox`); the interpreter under
test, with its pytest and the plugins that change how tests run, is named to them by `PROBE_PYTHON`.
"""

import shutil
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
# pytest: the Pythons it can be installed on
PYTESTS = {"6.2": ("3.7", "3.13"), "7.4": ("3.7", "3.14"), "8.4": ("3.9", "3.14"), "9": ("3.10", "3.15")}
PLUGINS = ("pytest-xdist", "pytest-rerunfailures", "pytest-asyncio", "pytest-randomly")


def fits(python: str, pytest: str) -> bool:
    first, last = PYTESTS[pytest]
    return PYTHONS.index(first) <= PYTHONS.index(python) <= PYTHONS.index(last)


def declare(python: str, pytest: str) -> None:
    @nox.session(python=python, name=f"probe-{python}-{pytest}")
    def probe(session: nox.Session) -> None:
        subtests = () if pytest == "9" else ("pytest-subtests",)  # pytest 9 has its own
        session.install(f"pytest=={pytest}.*", *PLUGINS, *subtests)
        session.env["PROBE_PYTHON"] = f"{session.bin}/python"
        command = (sys.executable, "-m", "pytest", "tests/probe", "-q", *session.posargs)
        session.run(*command, external=True)  # with the Python that runs nox: it has the tests' own needs


ECOSYSTEM = (
    *("pytest-xdist", "pytest-rerunfailures", "flaky", "pytest-subtests", "pytest-asyncio", "anyio", "trio"),
    *(
        "pytest-trio",
        "twisted",
        "pytest-django",
        "django",  # which pytest-django does not ask for
        "pytest-bdd",
        "hypothesis",
        "pytest-benchmark",
        "pytest-cov",
    ),
    *("pytest-timeout", "pytest-randomly", "pytest-mock"),
)


@nox.session(python=["3.9", "3.12"])
@nox.parametrize("pytest", ["7.4", "8.4"])
def ecosystem(session: nox.Session, pytest: str) -> None:
    """The runner on projects that use the plugins that projects use."""
    session.install(f"pytest=={pytest}.*", *ECOSYSTEM)
    session.env["RECALL_TARGET_PYTHON"] = f"{session.bin}/python"
    tests = ("tests/e2e/running/test_runner_ecosystem.py", "tests/e2e/running/test_runner_projects.py")
    session.run(sys.executable, "-m", "pytest", *tests, "-q", *session.posargs, external=True)


for _pytest in PYTESTS:
    for _python in PYTHONS:
        if fits(_python, _pytest):
            declare(_python, _pytest)


# --- both ends of our own dependencies ------------------------------------------------------

ENDS = {"lowest": ("3.11", "lowest-direct"), "newest": ("3.13", "highest")}
MAIN = ("tests/e2e/test_server_main_job.py", "tests/e2e/test_cli.py", "tests/integration/test_store.py")


def declare_end(name: str, python: str, resolution: str) -> None:
    @nox.session(python=python, name=name, venv_backend="uv")
    def end(session: nox.Session) -> None:
        """The main job with all of our dependencies at one end of what we allow."""
        session.run_install("uv", "pip", "install", "--resolution", resolution, "-r", "pyproject.toml")
        session.install("--no-deps", ".")
        session.install(
            "pytest>=9", "pytest-xdist", "hypothesis", "inline-snapshot", "dirty-equals", "pyyaml"
        )
        session.run("uv", "pip", "check")
        session.run("pytest-recall", "demo", silent=True)
        session.run("python", "-m", "pytest", "-q", *(session.posargs or MAIN))


for _name, (_python, _resolution) in ENDS.items():
    declare_end(_name, _python, _resolution)


# --- what is published ----------------------------------------------------------------------


@nox.session(python="3.11")
def bundle(session: nox.Session) -> None:
    """dist/pytest-recall.mcpb, by the packer that .ci/run brings from npm."""
    session.install("build")
    staged, dist = Path(session.create_tmp()) / "mcpb", Path("dist")
    session.run("python", "-m", "build", "--outdir", str(dist))
    [wheel] = dist.glob("pytest_recall-*.whl")
    shutil.rmtree(staged, ignore_errors=True)
    session.run("python", "packaging/bundle.py", str(wheel), str(staged))
    programs = Path(".ci/node/node_modules/.bin")
    mcpb = (str(programs / "node"), str(programs / "mcpb"))
    session.run(*mcpb, "validate", str(staged / "manifest.json"), external=True)
    session.run(*mcpb, "pack", str(staged), str(dist / "pytest-recall.mcpb"), external=True)


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """The site in docs/_build; `-- links` looks at every address in it, which needs the internet."""
    session.install("-c", "constraints.txt", "-e", ".[docs]")
    builder = ("-b", "linkcheck") if "links" in session.posargs else ()
    session.run("python", "-m", "sphinx", "-n", "-W", "--keep-going", *builder, "docs", "docs/_build")


@nox.session(python="3.11")
def platforms(session: nox.Session) -> None:
    """The types on the systems that we cannot run."""
    session.install("-c", "constraints.txt", "-e", ".[lint]")
    for platform in ("win32", "darwin"):
        session.run("mypy", "--platform", platform)
