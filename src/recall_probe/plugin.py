"""The pytest plugin: says every fact of a session, to whoever launched it or to the inbox of the project's memory.

Without `--recall-run-dir`, which pytest-recall gives to the runs it launches, and without `--recall`, the
ini value `recall` or `PYTEST_RECALL=1`, with which a plain session is captured, it is inert but for the
fixture `recall`.

One process owns the stream; xdist's workers add what only they see (starts, collection, exceptions);
any other pytest, nested in a test or started by one, stays silent.

PYTEST_DONT_REWRITE
"""

import argparse
import functools
import json
import os
import sys

import pytest

OPTION = "recall_run_dir"
_kept = []  # the module `context` of a session that is told of: its name may be another's by then
_NO = ("0", "no", "off", "false")
_ADDRESS, _LIVE = (
    "RECALL_CONTEXT",
    "pytest-recall:live",
)  # of `recording`, which is loaded only where it is needed


def pytest_addoption(parser):
    parser.addoption("--recall-run-dir", default=None, help=argparse.SUPPRESS)
    group = parser.getgroup("recall", "pytest-recall")
    said = "keep this run in the project's memory; also: `recall = true` in the ini file, PYTEST_RECALL=1"
    for names, text in ((("--recall",), said), (("--auto-capture-workflow",), "the same as --recall")):
        try:
            group.addoption(*names, action="store_true", default=False, dest="recall", help=text)
        except ValueError:  # another plugin has an option of that name
            continue
    parser.addini(
        "recall", "keep every run in the project's memory (pytest-recall)", type="bool", default=False
    )


@pytest.fixture(scope="session")
def recall():
    """What a test tells of itself: `metadata`, `validation`, `step`, `llm_interaction`, `agent_log`."""
    if _kept:
        return _kept[0]
    from recall_probe import context

    return context


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """After the entry points and before the conftests, whose `pytest_json_…` hooks want the JSON report's plugin."""
    session = early_config._recall = _session(early_config)
    if session is None:
        if _LIVE not in sys.modules and _ADDRESS in os.environ:
            # Started by a test: what its own tests tell is not that test's. Yet what they start is within it, too.
            os.environ[_ADDRESS] = os.devnull
        yield
        return
    session.prepare(early_config)
    outcome = yield
    if outcome.excinfo is not None:
        session.not_started(outcome.excinfo[1])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    session = getattr(config, "_recall", None)
    if session is not None:
        session.configure(config)


def pytest_sessionstart(session):
    """In the process of the test that began this session, that test hears nothing of what the tests in here tell."""
    live = sys.modules.get(_LIVE)
    if live is not None and getattr(session.config, "_recall", None) is None:
        session.config.add_cleanup(functools.partial(setattr, live, "recorder", live.recorder))
        live.recorder = None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config):
    """Usage errors that only show once the session has begun: a path or a test id that does not exist."""
    outcome = yield
    session = getattr(config, "_recall", None)
    if session is not None and outcome.excinfo is not None:
        session.not_started(outcome.excinfo[1])


def _session(config):
    """The part that this process plays; None: none."""
    options = config.known_args_namespace
    run_dir = getattr(options, OPTION, None)
    if run_dir is not None:
        from recall_probe import context, session

        _kept[:] = [context]
        _step_aside()
        return session.Session(run_dir, _settings(run_dir))
    wanted = not _within() and _wanted(config, options)
    if not wanted:
        return None
    # pytest would look for asserts to rewrite in all that is installed beside its plugins: half a millisecond a module.
    finders = sys.meta_path[:]
    sys.meta_path[:] = [one for one in finders if type(one).__name__ != "AssertionRewritingHook"]
    try:
        from recall_probe import capture
    except (
        Exception
    ) as error:  # an interpreter that we do not know: the session is worth more than its record
        sys.stderr.write("pytest-recall: this run is not kept: %r\n" % (error,))
        return None
    finally:
        sys.meta_path[:] = finders
    return capture.Capture("" if wanted is True else wanted)


def _within():
    """Whether a test started this pytest.

    A session within a test leaves no PYTEST_CURRENT_TEST behind; of one that is told of, the rest of its life is known.
    """
    return _LIVE in sys.modules or _ADDRESS in os.environ or "PYTEST_CURRENT_TEST" in os.environ


def _wanted(config, options):
    """Whether this session is asked for; where that cannot be told, why."""
    if getattr(options, "recall", False):
        return True
    told = os.environ.get("PYTEST_RECALL", "").strip().lower()
    if told:  # an empty one is what CI and compose make of a variable that nobody has set
        return told not in _NO
    try:
        return bool(config.getini("recall"))
    except Exception as error:  # pytest's own: "invalid truth value 'maybe'"
        return "`recall` in the ini file is true or false: %s" % (error,)


def _step_aside():
    """All of ours is loaded; should the project import a package of our name, it gets its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "recall_probe"]:
        del sys.modules[name]


def _settings(run_dir):
    with open(os.path.join(run_dir, "cfg.json"), encoding="utf-8") as file:
        return json.load(file)
