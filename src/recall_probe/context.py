"""One session's wiring: which process plays which part, and the JSON report beside the stream."""

import importlib
import importlib.util
import json
import os
import sys

import pytest

from recall_probe import stacks
from recall_probe.collecting import Collecting
from recall_probe.evidence import Evidence
from recall_probe.failure import Describer
from recall_probe.reporting import Reporting
from recall_probe.stream import Stream, cut

_JSON_REPORT = "pytest_jsonreport"
_OMIT = ("log", "keywords", "collectors", "streams")


class _Quiet:
    """Stands for the module `warnings` where nobody wants them."""

    @staticmethod
    def warn(*_args, **_kwargs):
        pass


class Session:
    def __init__(self, run_dir, cfg, early_config):
        self.run_dir = run_dir
        self.cfg = cfg
        self.early_config = early_config
        self.notes = []
        self.injected = False
        self.owner = self._claim("owner")

    def _claim(self, name):
        """Whether this process is the first to ask for *name*."""
        try:
            os.close(os.open(os.path.join(self.run_dir, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:
            return False
        return True

    def prepare(self):
        """Before the conftests are loaded."""
        if self.owner:
            self._hide_from_argv()
        folder = self.cfg.get("json_report")
        if folder and (self.owner or "PYTEST_XDIST_WORKER" in os.environ):
            try:
                self._inject(folder)
            except Exception as error:  # the stream tells all; the JSON report is for comparison
                self.notes.append("no JSON report: %s: %s" % (type(error).__name__, error))

    def _hide_from_argv(self):
        """The tests shall see the command line that they would see without us, and hand on no other."""
        ours = ["-p", "no:recall", "-p", "recall_probe.plugin", "--recall-run-dir=" + self.run_dir]
        if sys.argv[1 : 1 + len(ours)] == ours:
            del sys.argv[1 : 1 + len(ours)]

    def _inject(self, folder):
        plugins = self.early_config.pluginmanager
        if any(
            getattr(plugin, "__name__", "") == _JSON_REPORT + ".plugin" for plugin in plugins.get_plugins()
        ):
            self.injected = True
            return
        if plugins.is_blocked(_JSON_REPORT) or plugins.is_blocked("terminal"):
            return
        if (
            importlib.util.find_spec(_JSON_REPORT) is None
        ):  # the target's own copy is the one its conftests know
            spec = importlib.util.spec_from_file_location(
                _JSON_REPORT, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
            )
            package = importlib.util.module_from_spec(spec)
            sys.modules[_JSON_REPORT] = package
            spec.loader.exec_module(package)
        plugin = importlib.import_module(_JSON_REPORT + ".plugin")
        plugin.warnings = _Quiet  # the project did not ask for this report, and may run with `-W error`
        plugins.register(plugin, _JSON_REPORT)
        self.injected = True

    def configure(self, config):
        """Register what this process has to say. A nested pytest that inherited our option says nothing."""
        worker = getattr(config, "workerinput", None)
        if worker is None and not self.owner:
            return
        self._ask_for_json_report(config)
        if self.cfg.get("collect_only"):
            config.option.verbose = min(config.option.verbose, -2)  # nobody reads the list of ids on stdout
        stream = Stream(os.path.join(self.run_dir, "events.jsonl"), self.cfg.get("max_text", 20000))
        describer = Describer(_root(config), stream.max_text, self.cfg.get("locals", False))
        distributed = worker is None and getattr(config.option, "dist", "no") != "no"
        parts = [Late(self.run_dir, self.cfg.get("dump_signal"))]
        if worker is None:
            parts.append(Reporting(config, stream, describer, self.notes, starts=not distributed))
        if worker is None and distributed:
            parts.append(Distributed(self, stream))
        else:
            name = worker["workerid"] if worker else None
            parts.append(Collecting(self, stream, describer, name, self._lists(worker)))
            parts.append(Evidence(stream, describer, name))
        for part in parts:
            config.pluginmanager.register(part, "recall-" + type(part).__name__.lower())

    def _lists(self, worker):
        """How much the collection says of each test: of xdist's workers the first tells it."""
        wanted = self.cfg.get("list") or "none"
        return wanted if wanted == "none" or worker is None or self._claim("lister") else "none"

    def _ask_for_json_report(self, config):
        option = config.option
        if not self.injected or getattr(option, "json_report", None) is not False:
            self.injected = False  # the target asks for one itself: that is its own, and stays as it is
            return
        option.json_report = True
        option.json_report_file = os.path.join(self.run_dir, "report.json")
        option.json_report_omit = list(_OMIT)
        option.json_report_summary, option.json_report_indent, option.json_report_verbosity = False, None, -99

    def selected(self, config, number):
        """So many tests will run: where they are too many, the JSON report is not made (+33 % CPU on empty tests)."""
        if not self.injected or number <= self.cfg.get("json_report_most", 2000):
            return
        self.injected = False
        config.option.json_report = False
        plugin = config.__dict__.pop("_json_report", None)
        if plugin is not None:
            config.pluginmanager.unregister(plugin)

    def not_started(self, error):
        """Write why there was no session, or none that ran a test."""
        if not self.owner:
            return
        inner = getattr(error, "cause", None) or (getattr(error, "excinfo", None) or (None, None))[1]
        told = {
            "type": type(error).__name__,
            "path": str(getattr(error, "path", "") or ""),
            "message": cut(str(error), 2000),
            "cause": cut("%s: %s" % (type(inner).__name__, inner), 2000) if inner is not None else None,
        }
        try:
            with open(os.path.join(self.run_dir, "startup.json"), "w", encoding="ascii") as file:
                json.dump(told, file)
        except OSError:  # disk full; pytest prints the same
            pass


class Distributed:
    """On xdist's controller, where the workers collect: only the number of tests is known."""

    def __init__(self, session, stream):
        self.session = session
        self.stream = stream
        self._config = None

    def pytest_sessionstart(self, session):
        self._config = session.config

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        self.session.selected(self._config, len(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error):
        if error:
            self.stream.fact("workerdown", worker=node.gateway.id, error=cut(str(error), 2000))


class Late:
    """After pytest's own faulthandler plugin, which has redirected crash dumps to stderr."""

    def __init__(self, run_dir, dump_signal):
        self._where = (run_dir, dump_signal)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self):
        try:
            stacks.enable(*self._where)
        except Exception:  # no evidence is no reason not to run
            pass


def _root(config):
    return getattr(config, "rootpath", None) or config.rootdir
