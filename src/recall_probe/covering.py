"""Coverage of a launch by the target's own tools, loaded by `-p` where it is asked for: pytest-cov, else coverage.

What is measured is the project's own configuration. The data goes where COVERAGE_FILE says, a place in the
run folder; reports are made from it after the run (`covered.py`), so pytest-cov makes none of its own, in
the project or elsewhere. `covering.json` tells who measured.
"""

import json
import os
import sys
import warnings

import pytest

from recall_probe import covered

_MEASURED = "recall-measured"
_QUIET = [  # a project that makes errors of warnings did not ask for these
    "already-imported",
    "couldnt-parse",
    "include-ignored",
    "module-not-imported",
    "module-not-measured",
    "no-data-collected",
    "trace-changed",
]


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """Where pytest-cov itself starts: after the plugins, before the conftests."""
    options, manager = early_config.known_args_namespace, early_config.pluginmanager
    if hasattr(options, "cov_source"):
        told = {
            "by": _version("pytest_cov", "pytest-cov"),
            "config": options.cov_config,
            "html": "html" in (options.cov_report or ()),
            "ours": _ours(options.recall_run_dir, chosen=bool(options.cov_source)),
        }
        _lead(options)
    else:
        ours = _ours(options.recall_run_dir, chosen=False)
        told = {"by": _version("coverage", "coverage"), "config": "", "html": False, "ours": ours}
        _measure(manager)
    try:  # of several processes the first, whose options are the project's own
        with open(os.path.join(options.recall_run_dir, "covering.json"), "x", encoding="utf-8") as file:
            json.dump(told, file)
    except OSError:
        pass
    yield
    controller = getattr(manager.getplugin("_cov"), "cov_controller", None)
    for each in (getattr(controller, name, None) for name in ("cov", "combining_cov")):
        if each is not None:  # what is ours counts for nothing in a threshold of the project's
            covered.leave_out(each, told["ours"])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """What xdist hands on to its workers; and a worker that loads us late."""
    if hasattr(config.option, "cov_source"):
        _lead(config.option)
    elif hasattr(config, "workerinput"):
        _measure(config.pluginmanager)


def _lead(options):
    """Make *options* what `--cov` would have made of them, without reports.

    A threshold of the project's is its own rule where it measures by itself, and none where only we do.
    """
    if not options.cov_source:
        options.cov_source = [True]
        if options.cov_fail_under is None:
            options.cov_fail_under = 0
    options.cov_report = {"": None}
    options.cov_append = options.no_cov = False


def _measure(manager):
    if not manager.hasplugin(_MEASURED):
        manager.register(_Measured(), _MEASURED)


class _Measured:
    """One process under coverage alone."""

    def __init__(self):
        import coverage

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._coverage = coverage.Coverage(data_suffix=True)
            known = self._coverage.get_option("run:disable_warnings") or []
            self._coverage.set_option("run:disable_warnings", list(known) + _QUIET)
            self._coverage.start()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._coverage.stop()
            self._coverage.save()


def _ours(run_dir, chosen):
    """Folders that are not the project's, and that coverage would not pass over by itself."""
    import coverage

    with open(os.path.join(run_dir, "cfg.json"), encoding="utf-8") as file:
        lent = json.load(file).get("json_report")
    installed = ["*/site-packages"] if coverage.version_info < (6,) and not chosen else []
    return [os.path.dirname(os.path.abspath(__file__))] + ([lent] if lent else []) + installed


def _version(module, name):
    return "%s %s" % (name, getattr(sys.modules.get(module) or __import__(module), "__version__", "")[:40])
