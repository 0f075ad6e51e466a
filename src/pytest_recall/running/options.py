"""Which of pytest's options a caller may pass, and why the others may not be.

Everything is written as one word (`--tb=short`, `-kname`): as a second word, a value that happens to
be an existing path would move pytest's rootdir.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from pytest_recall.errors import BadRequest, quoted

_FLAGS = frozenset(
    """
    --exitfirst --verbose --quiet --showlocals --no-showlocals --last-failed --lf --failed-first --ff
    --new-first --nf --stepwise --sw --stepwise-skip --sw-skip --stepwise-reset --sw-reset --runxfail --strict
    --strict-markers --strict-config --disable-warnings --disable-pytest-warnings --no-header --no-summary
    --full-trace --setup-show --doctest-modules --doctest-ignore-import-errors
    --doctest-continue-on-failure --continue-on-collection-errors --pyargs --keep-duplicates
    --collect-in-virtualenv --no-fold-skipped --xfail-tb --force-short-summary
    --no-cov --cov-branch --no-cov-on-fail --cov-append --cov --fail-on-flaky --force-flaky
    --benchmark-disable --benchmark-enable --benchmark-skip --benchmark-only
    --randomly-dont-reorganize --randomly-dont-reset-seed --random-order --disable-random-order
    --hypothesis-show-statistics --timeout-disable-debugger-detection --create-db --reuse-db --no-migrations
    --nomigrations --migrations --run-slow --runslow
    """.split()  # noqa: SIM905 - a table
)

_VALUES = frozenset(
    """
    --tb --maxfail --durations --durations-min --verbosity --color --show-capture --import-mode --deselect
    --ignore --ignore-glob --doctest-glob --doctest-report --last-failed-no-failures --lfnf --pythonwarnings
    --override-ini --assert --cov --cov-fail-under --cov-context --cov-report --numprocesses --dist
    --maxprocesses --max-worker-restart --maxschedchunk --reruns --reruns-delay --only-rerun --rerun-except
    --max-runs --min-passes --timeout --timeout-method --session-timeout --asyncio-mode --anyio-mode
    --hypothesis-profile --hypothesis-seed --hypothesis-verbosity --randomly-seed --random-order-seed
    --random-order-bucket --count --repeat-scope --splits --group --splitting-algorithm
    """.split()  # noqa: SIM905 - a table
)

_SHORT_FLAGS = frozenset("xvql")
_SHORT_VALUES = frozenset("kmWrno")

_LOADS = "it loads code or settings that the project did not choose"
_WRITES = "it writes files of its own; the whole run is kept anyway"
_MOVES = "it moves what node ids are relative to"
_TALKS = "it takes the terminal, which does not exist here"
_REFUSED = {
    "-p": f"{_LOADS} (`-p no:NAME` is allowed)",
    "-c": _LOADS,
    "--config-file": _LOADS,
    "--confcutdir": _LOADS,
    "--ds": _LOADS,
    "--dc": _LOADS,
    "--cov-config": _LOADS,
    "--tx": _LOADS,
    "--rsyncdir": _WRITES,
    "--rootdir": _MOVES,
    "--basetemp": "it deletes the folder it names",
    "--cache-clear": "it deletes what --last-failed knows",
    "--junitxml": _WRITES,
    "--junit-xml": _WRITES,
    "--json-report": _WRITES,
    "--json-report-file": _WRITES,
    "--report-log": _WRITES,
    "--html": _WRITES,
    "--log-file": _WRITES,
    "--debug": _WRITES,
    "--pastebin": "it publishes the output",
    "--pdb": _TALKS,
    "--pdbcls": _TALKS,
    "--trace": _TALKS,
    "-s": "output is always captured and shown with the failure",
    "--capture": "output is always captured and shown with the failure",
    "--looponfail": "it never ends",
    "-f": "it never ends",
    "--collect-only": "discover_tests does that",
    "--co": "discover_tests does that",
    "--setup-only": "no test would run",
    "--setup-plan": "no test would run",
    "--fixtures": "no test would run",
    "--markers": "no test would run",
    "--help": "no test would run",
    "--version": "no test would run",
    "-h": "no test would run",
    "-V": "no test would run",
}

_INI = frozenset(
    """
    xfail_strict strict strict_config strict_markers strict_xfail strict_parametrization_ids filterwarnings
    log_level log_format log_date_format log_cli console_output_style verbosity_assertions
    verbosity_test_cases verbosity_subtests truncation_limit_lines truncation_limit_chars markers usefixtures
    python_files python_classes python_functions norecursedirs testpaths doctest_optionflags doctest_encoding
    consider_namespace_packages empty_parameter_set_mark enable_assertion_pass_hook faulthandler_timeout
    tmp_path_retention_count tmp_path_retention_policy asyncio_mode asyncio_default_fixture_loop_scope
    asyncio_default_test_loop_scope timeout timeout_method reruns reruns_delay anyio_mode
    """.split()  # noqa: SIM905 - a table
)

_MOST_ARG = 20_000


def normalise(args: Sequence[str], *, allow_any: bool = False) -> list[str]:
    """*args* as one word each, checked against the list of what is allowed unless *allow_any*.

    Raises:
        BadRequest: an option that is not allowed, with the reason; a value that is missing.
    """
    for arg in args:
        if "\0" in arg or len(arg) > _MOST_ARG:
            raise BadRequest(f"args: {quoted(arg)} is too long or holds a NUL character.")
    return list(args) if allow_any else list(_words(list(args)))


def stops_early(args: Sequence[str]) -> bool:
    """Whether *args* (as `normalise` gave them) ask pytest to end the session at a failure."""
    return any(
        arg.startswith(("--exitfirst", "--maxfail", "--stepwise", "--sw"))
        or (re.fullmatch("-[xvql]+", arg) is not None and "x" in arg)
        for arg in args
    )


def _words(args: list[str]) -> Iterator[str]:
    rest = iter(args)
    for arg in rest:
        name, equals, value = arg.partition("=")
        if arg.startswith("--") and name in _FLAGS and not equals:
            yield arg
        elif arg.startswith("--") and name in _VALUES:
            value = value if equals else _next(rest, name)
            yield f"{name}={_checked(name, value)}"
        elif re.fullmatch("-[xvql]+", arg):
            yield arg
        elif arg[:1] == "-" and arg[1:2] in _SHORT_VALUES:
            value = arg[2:].removeprefix("=") or _next(rest, arg)
            yield arg[:2] + _checked(arg[:2], value)
        elif arg[:2] == "-p" and (value := arg[2:].removeprefix("=") or _next(rest, arg)).startswith("no:"):
            yield f"-p{value}"
        else:
            raise BadRequest(_refusal(name if arg.startswith("--") else arg))


def _next(rest: Iterator[str], name: str) -> str:
    value = next(rest, None)
    if value is None:
        raise BadRequest(f"args: {quoted(name)} needs a value, as one word (`{name}=…`) or as the next item.")
    return value


def _checked(name: str, value: str) -> str:
    if name in {"-o", "--override-ini"}:
        key = value.partition("=")[0].strip()
        if key not in _INI:
            raise BadRequest(
                f"args: {name} {quoted(key)} is not allowed: only settings that load no code and write no file are."
                f"{_near(key, _INI)} A server started with --allow-any-args allows all."
            )
    if name == "--cov-report" and value.partition(":")[0] not in {"term", "term-missing", ""}:
        raise BadRequest(f"args: --cov-report={quoted(value)} {_WRITES}; term and term-missing are allowed.")
    return value


def _refusal(arg: str) -> str:
    if not arg.startswith("-"):
        return f"args: {quoted(arg)} is no option. Paths and test ids belong into tests, an expression into keyword."
    name = arg if arg.startswith("--") else arg[:2]
    reason = _REFUSED.get(name)
    because = f": {reason}." if reason else f".{_near(name, _FLAGS | _VALUES)}"
    return f"args: {quoted(name)} is not allowed{because} A server started with --allow-any-args allows all."


def _near(word: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(word[:100], sorted(known), n=3, cutoff=0.7)
    return f" Nearest: {', '.join(close)}." if close else ""
