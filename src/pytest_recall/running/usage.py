"""Why pytest refused its command line or its ini file before any hook could tell: from what it printed, and what helps."""

from __future__ import annotations

import re

from pytest_recall.errors import listed, quoted

_MOST = 1_000
_SAID = re.compile(r"^(?:ERROR: (?!usage: )|.{0,300}?: error: )(.+)$", re.MULTILINE)
_INI = re.compile(r"^  inifile: (?!None$)(.+)$", re.MULTILINE)
_UNKNOWN = "unrecognized arguments: "
# The plugins behind the options that ini files and people ask for most.
_PLUGINS = (
    (r"--(no-)?cov\b", "pytest-cov"),
    (r"-n|--(dist|numprocesses|maxprocesses|max-worker-restart|maxschedchunk|tx)\b", "pytest-xdist"),
    (r"--(timeout|session-timeout)", "pytest-timeout"),
    (r"--(reruns|only-rerun|rerun-except|fail-on-flaky)", "pytest-rerunfailures"),
    (r"--((no-)?force-flaky|max-runs|min-passes|no-flaky-report)", "flaky"),
    (r"--asyncio-", "pytest-asyncio"),
    (r"--benchmark-", "pytest-benchmark"),
    (r"--randomly-", "pytest-randomly"),
    (r"--random-order", "pytest-random-order"),
    (r"--hypothesis-", "hypothesis"),
    (r"--(ds|dc|reuse-db|create-db|(no-?)?migrations|fail-on-template-vars)\b", "pytest-django"),
    (r"--(count|repeat-scope)\b", "pytest-repeat"),
    (r"--(splits|group|splitting-algorithm|store-durations)\b", "pytest-split"),
    (r"--(html|self-contained-html)\b", "pytest-html"),
    (r"--json-report", "pytest-json-report"),
    (r"--alluredir", "allure-pytest"),
    (r"--(snapshot-|allow-snapshot)", "syrupy"),
    (r"--(headed|browser|tracing)\b", "pytest-playwright"),
    (r"--(record-mode|block-network|disable-recording)\b", "pytest-recording"),
    (r"--(mypy|ruff|flake8|black|isort|pylint)\b", r"pytest-\1"),
)


def why(printed: bytes) -> str:
    """What pytest said last, and what to do where it knows no such option; "" where it said nothing."""
    text = printed.decode("utf-8", "replace").replace("\r\n", "\n")
    said = _SAID.findall(text)
    if not said:
        return ""
    last = str(said[-1]).strip()
    if not last.startswith(_UNKNOWN):
        return last[:_MOST]
    options = last.removeprefix(_UNKNOWN).split()
    ini = _INI.findall(text)
    return f"pytest knows no {listed(options)}.{_plugins(options)}{_where(ini[-1] if ini else '')}"[:_MOST]


def _plugins(options: list[str]) -> str:
    wanted = dict.fromkeys(
        match.expand(plugin)
        for option in options
        for pattern, plugin in _PLUGINS
        if (match := re.match(pattern, option))
    )
    if not wanted:
        return " It is misspelt, or its plugin is not installed in the project's environment."
    verb = "are" if len(wanted) > 1 else "is"
    return (
        f" {', '.join(wanted)} {verb} not installed in the project's environment, or switched off (`-p no:…`,"
        " PYTEST_DISABLE_PLUGIN_AUTOLOAD)."
    )


def _where(ini: str) -> str:
    place = f"`addopts` in {quoted(ini)}" if ini else "PYTEST_ADDOPTS"
    return f" Where it is not in args, it comes from {place}."
