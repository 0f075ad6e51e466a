"""A request and its target → argv, environment and the probe's configuration.

The tests see what they would see in a shell with the project's environment activated: nothing is
set for them but what the caller asked for, and what belongs to this server is taken away.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_recall.errors import BadRequest, UnknownTest, listed, quoted
from pytest_recall.model import RunRequest, Target
from pytest_recall.running import options
from pytest_recall.running.roots import Roots, exists
from pytest_recall.running.target import environment, site_packages

_MOST_TESTS = 20_000
_MOST_ID = 120_000  # ids of 100 kB exist
_MOST_EXPRESSION = 20_000
_MOST_SECONDS = 7 * 86_400.0
_MOST_WORKERS = 256
_MOST_REPEAT = 1_000
_MOST_ENV = 32_768
_MOST_REPORTED = (
    1_000  # tests: pytest-json-report takes 0.17 ms a test, which longer suites of short tests feel
)

# The server's own, or the agent's: a test has no use for them, and what it prints is kept and shown.
_OWN = re.compile(
    r"PYTEST_RECALL_.*|RECALL_CONTEXT|PYTEST_CURRENT_TEST|PYTEST_XDIST_.*|PYTEST_VERSION|PYTHONHOME|PYTHONSTARTUP|PYTHONINSPECT"
    r"|PYTHONEXECUTABLE|__PYVENV_LAUNCHER__|PYTHONDONTWRITEBYTECODE|COV_CORE_.*|COVERAGE_PROCESS_.*"
    r"|MCP_.*|CHROMA_.*|CLAUDE_.*|CLAUDECODE|CURSOR_.*|ANTHROPIC_.*|(OPENAI|GEMINI|MISTRAL|GROQ|OPENROUTER)_API_KEY"
)
# What decides which code a process loads belongs to the project, not to a call.
_LOADS_CODE = re.compile(
    r"LD_.*|DYLD_.*|PYTHON(PATH|HOME|STARTUP|EXECUTABLE|INSPECT|USERBASE|BREAKPOINT|PLATLIBDIR|CASEOK)|PATH|VIRTUAL_ENV"
    r"|PYTEST_(ADDOPTS|PLUGINS|RECALL_.*|XDIST_.*|CURRENT_TEST|DISABLE_PLUGIN_AUTOLOAD)|BASH_ENV|ENV|IFS|GIT_.*"
    r"|HOME|USERPROFILE|COMSPEC|SYSTEMROOT"
)
_MODULE = re.compile(r"\w+(\.\w+)*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")


class Command(NamedTuple):
    argv: list[str]
    env: dict[str, str]
    cfg: dict[str, Any]  # for the probe, as `recall_probe` describes it


def check(request: RunRequest, root: Path, *, allow_any_args: bool = False) -> None:
    """Raise where *request* cannot or may not be carried out in *root*; starts nothing.

    Raises:
        BadRequest: a number, an option, a variable or a path that is not allowed.
        UnknownTest: a path that does not exist; the message names the nearest ones.
    """
    _numbers(request)
    for name, text in (("keyword", request.keyword), ("markers", request.markers)):
        if "\0" in text or len(text) > _MOST_EXPRESSION:
            raise BadRequest(f"{name}: longer than {_MOST_EXPRESSION} characters, or holds a NUL character.")
    if len(request.tests) > _MOST_TESTS:
        raise BadRequest(
            f"tests: {len(request.tests)} entries; at most {_MOST_TESTS}. Name files or folders instead."
        )
    args = options.normalise(request.args, allow_any=allow_any_args)
    selection(request, root, by_module="--pyargs" in args)
    for name, value in request.env:
        _variable(name, value, allow_any=allow_any_args)


def by_module(request: RunRequest, target: Target) -> RunRequest:
    """*request* with `--pyargs` where it names no path of the project's, but a package that its interpreter has."""
    if "--pyargs" in request.args or not any(_is_module(test, target) for test in request.tests):
        return request
    return replace(request, args=(*request.args, "--pyargs"))


def _is_module(test: str, target: Target) -> bool:
    name, root = test.partition("::")[0], Path(target.root)
    return bool(
        _MODULE.fullmatch(name)
        and Roots(root).places(name) in ([], [root])
        and any(
            (folder / name.partition(".")[0] / "__init__.py").is_file()
            for folder in site_packages(target.python)
        )
    )


def selection(request: RunRequest, root: Path, *, by_module: bool = False) -> list[str]:
    """The request's tests as pytest takes them from *root*: one word each, inside *root*.

    Raises:
        BadRequest: an entry that leads out of *root* or would read as an option.
        UnknownTest: a path that does not exist.
    """
    return [_located(test, root, by_module=by_module) for test in request.tests]


def build(
    request: RunRequest,
    target: Target,
    *,
    run_folder: Path,
    cargo: Path,
    environ: Mapping[str, str],
    cache_dir: Path | None = None,
    json_report: Path | None = None,
    collect: Literal["no", "names", "full"] = "no",
    workers: int = 0,
    allow_any_args: bool = False,
) -> Command:
    """What starts one launch of *request*: argv, the tests' environment, and the probe's `cfg.json`."""
    args = options.normalise(request.args, allow_any=allow_any_args)
    own = ["--color=no", "--show-capture=no"]
    if cache_dir is not None:
        own.append(f"-ocache_dir={cache_dir}")
    if request.keyword:
        own.append(f"-k{request.keyword}")
    if request.markers:
        own.append(f"-m{request.markers}")
    if request.max_failures:
        own.append(f"--maxfail={request.max_failures}")
    if workers:
        own.append(f"-n{workers}")
    if collect != "no":
        own += ["-qqq"]
    tests = selection(request, Path(target.root), by_module="--pyargs" in args)
    if any("[" in test.partition("::")[0] for test in tests):
        own += ["-p", "recall_probe.brackets"]
    return Command(
        [target.python, str(cargo / "recall_probe" / "guard.py"), str(run_folder)],
        surroundings(target, environ, request.env),
        {
            "args": [*own, *args, *tests],
            "supervise": sys.platform != "win32",
            "json_report": str(json_report) if json_report and collect == "no" else None,
            "dump_signal": dump_signal(),
            "list": "ids" if collect == "no" else collect,
            "collect_only": collect != "no",
            "locals": request.detail,
            "max_text": 20_000,
            "json_report_most": _MOST_REPORTED,
        },
    )


def dump_signal() -> int | None:
    """The signal on which faulthandler writes all stacks: a real-time one, which tests leave alone."""
    if hasattr(signal, "SIGRTMIN"):
        return int(signal.SIGRTMIN) + 7
    number = getattr(signal, "SIGUSR2", None)
    return int(number) if number is not None else None


def surroundings(
    target: Target, environ: Mapping[str, str], additions: Sequence[tuple[str, str]] = ()
) -> dict[str, str]:
    """The environment of the tests: *environ* less what is the server's, as if activated, plus *additions*."""
    env = {name: value for name, value in environ.items() if not _OWN.fullmatch(name)}
    active = env.pop("VIRTUAL_ENV", None)
    if environ.get("VIRTUAL_ENV_PROMPT"):
        del env["VIRTUAL_ENV_PROMPT"]
    path = [part for part in env.get("PATH", os.defpath).split(os.pathsep) if part]
    if active or sys.prefix != sys.base_prefix:
        own = {
            str(Path(place) / name) for place in (active, sys.prefix) if place for name in ("bin", "Scripts")
        }
        path = [part for part in path if part not in own]
    if python_path := _of_the_project(env.pop("PYTHONPATH", ""), Path(target.root)):
        env["PYTHONPATH"] = python_path
    venv, prefix = environment(target.python), Path(target.python).parent.parent
    if (
        venv is not None or (prefix / "conda-meta").is_dir()
    ):  # what can be activated; any other is only called
        folder = str(Path(target.python).parent)
        path = [folder, *(part for part in path if part != folder)]
    if venv is not None:
        env["VIRTUAL_ENV"] = str(venv)
    env["PATH"] = os.pathsep.join(path)
    return env | dict(additions)


def _of_the_project(python_path: str, root: Path) -> str:
    """*python_path* without the folders that this server itself is imported from."""
    parts = [Path(part) for part in python_path.split(os.pathsep) if part]
    kept = [
        str(part)
        for part in parts
        if part.is_relative_to(root)
        or not (part.is_relative_to(sys.prefix) or (part / "pytest_recall" / "__init__.py").is_file())
    ]
    return os.pathsep.join(kept)


# --- checks ---------------------------------------------------------------------------------


def _numbers(request: RunRequest) -> None:
    for name, value, least, most in (
        ("timeout_s", request.timeout_s, 0.1, _MOST_SECONDS),
        ("test_timeout_s", request.test_timeout_s, 0.0, _MOST_SECONDS),
        ("max_failures", request.max_failures, 0, 10**9),
        ("parallel", request.parallel, 0, _MOST_WORKERS),
        ("repeat", request.repeat, 1, _MOST_REPEAT),
    ):
        if not (math.isfinite(value) and least <= value <= most):
            raise BadRequest(f"{name}: {value!r} is not between {least} and {most}.")


def _variable(name: str, value: str, *, allow_any: bool) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"env: {quoted(name)} is no name of a variable: letters, digits and _ only.")
    if not allow_any and _LOADS_CODE.fullmatch(name.upper()):
        raise BadRequest(
            f"env: {name} may not be set by a call: it decides which code is loaded."
            " Set it where the server is started."
        )
    if "\0" in value or len(value) > _MOST_ENV:
        raise BadRequest(f"env: the value of {name} is longer than {_MOST_ENV} or holds a NUL character.")


def present(tests: Iterable[str], root: Path) -> list[str]:
    """Those of *tests*, ids that earlier runs told of, whose file can be named from *root*."""
    roots = Roots(root)
    return [test for test in tests if len(roots.places(test.partition("::")[0])) == 1]


def _located(test: str, root: Path, *, by_module: bool) -> str:
    if not test or "\0" in test or len(test) > _MOST_ID:
        raise BadRequest(f"tests: {quoted(test)} is empty, too long or holds a NUL character.")
    if test.startswith(("-", "@")):
        raise BadRequest(f"tests: {quoted(test)} would read as an option. Options belong into args.")
    name, colons, rest = test.partition("::")
    if by_module and _MODULE.fullmatch(name) and not exists(root / name):
        return test
    places = Roots(root).places(name)
    if not places:
        raise UnknownTest(_unknown(test, name, root))
    if len(places) > 1:
        several = listed(os.path.relpath(place, root) for place in places)
        raise UnknownTest(
            f"tests: {quoted(name)} is in several of the project's roots. Name one from its folder: {several}."
        )
    place = places[0]
    # From the root, as a person would write it: pytest takes `[` and `::` in an absolute path for a test id's.
    shown = os.path.relpath(place, root)
    if not (root / shown).resolve().is_relative_to(root.resolve()):
        raise BadRequest(f"tests: {quoted(name)} leads out of the project {quoted(str(root))}.")
    return f"{'./' if shown[0] in '-@' else ''}{shown}{colons}{rest}"


def _unknown(test: str, name: str, root: Path) -> str:
    if alike := Roots(root).alike(name)[:3]:
        return f"tests: there is no {quoted(test)} in {quoted(str(root))}. Did you mean {listed(alike)}?"
    parent = (root / name).parent
    where = (
        parent
        if exists(parent) and parent.is_dir() and parent.resolve().is_relative_to(root.resolve())
        else root
    )
    try:
        known = sorted(item.name for item in where.iterdir() if not item.name.startswith("."))[:5_000]
    except OSError:
        known = []
    near = difflib.get_close_matches(Path(name).name[:200], known, n=3, cutoff=0.5)
    shown = [str((where / item).relative_to(root)) for item in near]
    by_word = f" For tests by a part of their name: keyword={name!r}." if name.isidentifier() else ""
    return (
        f"tests: there is no {quoted(name)} in {quoted(str(root))} (asked for: {quoted(test)})."
        f" Nearest: {listed(shown)}. discover_tests lists what exists.{by_word}"
    )
