"""The pytest plugin: says every fact of a session to the stream. Without `--recall-run-dir` it is inert.

One process owns the stream; xdist's workers add what only they see (starts, collection, exceptions);
any other pytest, nested in a test or started by one, stays silent.

PYTEST_DONT_REWRITE
"""

import argparse
import json
import os
import sys

import pytest

OPTION = "recall_run_dir"


def pytest_addoption(parser):
    parser.addoption("--recall-run-dir", default=None, help=argparse.SUPPRESS)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """After the entry points and before the conftests, whose `pytest_json_…` hooks want the JSON report's plugin."""
    run_dir = getattr(early_config.known_args_namespace, OPTION, None)
    if run_dir is None:
        yield
        return
    from recall_probe import context

    _step_aside()
    session = context.Session(run_dir, _settings(run_dir))
    early_config._recall = session
    session.prepare(early_config)
    outcome = yield
    if outcome.excinfo is not None:
        session.not_started(outcome.excinfo[1])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    session = getattr(config, "_recall", None)
    if session is not None:
        session.configure(config)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config):
    """Usage errors that only show once the session has begun: a path or a test id that does not exist."""
    outcome = yield
    session = getattr(config, "_recall", None)
    if session is not None and outcome.excinfo is not None:
        session.not_started(outcome.excinfo[1])


def _step_aside():
    """All of ours is loaded; should the project import a package of our name, it gets its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "recall_probe"]:
        del sys.modules[name]


def _settings(run_dir):
    with open(os.path.join(run_dir, "cfg.json"), encoding="utf-8") as file:
        return json.load(file)
