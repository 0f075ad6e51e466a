"""One session's wiring: which process plays which part."""

import os
import sys

import pytest

from recall_probe import stacks
from recall_probe.collecting import Collecting
from recall_probe.evidence import Evidence, WorkersEvidence
from recall_probe.failure import Describer
from recall_probe.jsonreport import JsonReport
from recall_probe.logfile import Logged
from recall_probe.measuring import Measuring
from recall_probe.reporting import Reporting
from recall_probe.stream import Stream, cut
from recall_probe.whole import Whole

_LEND = "import sys; sys.path.insert(0, %r); import recall_probe; del sys.path[0]"


class Session:
    """Of one pytest process: the one that owns the run, an xdist worker of it, or a nested one (silent)."""

    def __init__(self, run_dir, cfg):
        self._run_dir, self._cfg = run_dir, cfg
        self._notes = []
        self._json_report = JsonReport(
            cfg.get("json_report"), self._path("report.json"), cfg.get("json_report_most", 2000)
        )
        self._owner = self._claim("owner")

    def _path(self, name):
        return os.path.join(self._run_dir, name)

    def _claim(self, name):
        """Whether this process is the first to ask for *name*."""
        try:
            os.close(os.open(self._path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:
            return False
        return True

    def prepare(self, early_config):
        """Before the conftests are loaded."""
        if self._owner:
            self._hide_from_argv()
        if self._cfg.get("json_report") and (self._owner or "PYTEST_XDIST_WORKER" in os.environ):
            try:
                self._json_report.inject(early_config)
            except Exception as error:  # the stream tells all; the JSON report is for comparison
                self._notes.append("no JSON report: %s: %s" % (type(error).__name__, error))

    def _hide_from_argv(self):
        """The tests shall see the command line that they would see without us, and hand on no other."""
        kept = []
        for arg in sys.argv:
            if arg == "no:recall" or arg.startswith("recall_probe."):
                kept.pop()  # its `-p`
            elif arg != "--recall-run-dir=" + self._run_dir:
                kept.append(arg)
        sys.argv[:] = kept

    def configure(self, config):
        """Register what this process has to say."""
        worker = getattr(config, "workerinput", None)
        if worker is None and not self._owner:
            return
        self._json_report.configure(config.option)
        if self._cfg.get("collect_only"):  # nobody reads the ids on stdout
            config.option.verbose = min(getattr(config.option, "verbose", 0), -2)
        for part in self._parts(config, worker):
            config.pluginmanager.register(part, "recall-" + type(part).__name__.lower())

    def _parts(self, config, worker):
        stream = Stream(self._path("events.jsonl"), self._cfg.get("max_text", 20000))
        describer = Describer(root_of(config), stream.max_text, self._cfg.get("locals", False))
        yield Late(self._run_dir, self._cfg.get("dump_signal"))
        if worker is None and distributes(config.option):
            yield Reporting(config, stream, describer, self._json_report, self._notes)
            yield Distributed(config, stream, self._json_report)
            return
        name = worker["workerid"] if worker else None
        tells = worker is None or self._claim("lister")  # of xdist's workers the first
        wanted = (self._cfg.get("list") or "none") if tells else "none"
        yield Collecting(stream, describer, self._json_report, name, wanted, tells)
        reporting = None
        if not worker:
            reporting = Reporting(config, stream, describer, self._json_report, self._notes)
        if not self._cfg.get("collect_only"):
            measuring = Measuring(self._path("events.jsonl"), stream, name)
            yield measuring
            yield Logged(self._path("log-%s.txt" % (name or "main")))
            kind = WorkersEvidence if worker else Evidence
            yield kind(stream, describer, measuring, name, reporting)
        if reporting is not None:
            yield reporting

    def not_started(self, error):
        """Write why there was no session, or none that ran a test."""
        if not self._owner:
            return
        inner = getattr(error, "cause", None) or (getattr(error, "excinfo", None) or (None, None))[1]
        told = {
            "type": type(error).__name__,
            "path": cut(str(getattr(error, "path", "") or ""), 2000),
            "message": cut(str(error), 2000),
            "cause": cut("%s: %s" % (type(inner).__name__, inner), 2000) if inner is not None else None,
        }
        Whole.put(self._path("startup.json"), told)


class Distributed:
    """On xdist's controller, where the workers collect."""

    def __init__(self, config, stream, json_report, lend=True):
        self._config, self._stream, self._json_report, self._lend = config, stream, json_report, lend

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway):
        """Make our package known to the worker before pytest is, as `boot.py` does here; not by its `sys.path`."""
        if not self._lend:  # it is installed there
            return
        cargo = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        # For as long as it takes, as xdist's own next question does: a limit would end the run of a busy machine.
        gateway.remote_exec(_LEND % cargo).waitclose()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        self._json_report.selected(self._config, len(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error):
        if error:
            self._stream.fact("workerdown", worker=node.gateway.id, error=cut(str(error), 2000))


class Late:
    """After pytest's own plugins: faulthandler's, which sends crash dumps to stderr, and the terminal's."""

    def __init__(self, run_dir, dump_signal):
        self._where = (run_dir, dump_signal)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session):
        self._enable()
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        if getattr(reporter, "showfspath", False) and not getattr(reporter, "showlongtestinfo", True):
            # The dots without their file's name, as with `-q`: asking for it costs 40 us a test, more than all of ours.
            reporter.showfspath = False

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        self._enable()  # for a crash at exit

    def _enable(self):
        try:
            stacks.enable(*self._where)
        except Exception:  # no evidence is no reason not to run
            pass


def distributes(option):
    """Whether xdist's workers collect and run; with `--collect-only` it leaves that to this process."""
    several = getattr(option, "dist", "no") != "no" and getattr(
        option, "tx", None
    )  # `--dist` alone does nothing
    return bool(several) and not option.collectonly


def root_of(config):
    return getattr(config, "rootpath", None) or config.rootdir
