"""The probe's contract on every pytest it must run under: `nox` (all that can be installed), `nox -s probe-3.9-8.4`.

The contract tests run in the environment that runs nox (`pip install -e ".[test]" nox`); the interpreter under
test, with its pytest and the plugins that change how tests run, is named to them by `PROBE_PYTHON`.
"""

import sys

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
# pytest: the Pythons it can be installed on
PYTESTS = {"6.2": ("3.7", "3.13"), "7.4": ("3.7", "3.14"), "8.4": ("3.9", "3.14"), "9": ("3.10", "3.14")}
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
