"""pytest-json-report's own report beside the stream: lent to the run, never installed in the target."""

import functools
import importlib
import importlib.util
import inspect
import os
import sys

_PACKAGE = "pytest_jsonreport"
_OMIT = ("log", "keywords", "collectors", "streams")


class _Quiet:
    """Stands for the module `warnings` where nobody asked for the report: the project may run with `-W error`."""

    @staticmethod
    def warn(*_args, **_kwargs):
        pass


class JsonReport:
    """*folder* is that of our copy of the package; *most* the number of tests up to which a report is made."""

    def __init__(self, folder, path, most):
        self._folder, self._path, self._most = folder, path, most
        self._plugin = None  # the module, where it reports for us

    def inject(self, early_config):
        """Before the conftests, whose `pytest_json_…` hooks would be unknown without it. May raise."""
        plugins = early_config.pluginmanager
        name = _PACKAGE + ".plugin"
        for plugin in plugins.get_plugins():
            if getattr(plugin, "__name__", "") == name:
                self._plugin = plugin
                return
        if plugins.is_blocked(_PACKAGE) or plugins.is_blocked("terminal"):  # it needs the terminal's options
            return
        if importlib.util.find_spec(_PACKAGE) is None:  # the target's own copy is the one its conftests know
            self._load()
        plugin = importlib.import_module(name)
        plugins.register(plugin, _PACKAGE)
        self._plugin = plugin

    def _load(self):
        """By path: an entry in `sys.path` would offer the target all that lies beside it."""
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, os.path.join(self._folder, "__init__.py"), submodule_search_locations=[self._folder]
        )
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)

    def configure(self, option):
        """Before the plugin's own `pytest_configure`; on the command line `--json-report-omit` swallows paths."""
        if self._plugin is None or getattr(option, "json_report", None) is not False:
            self._plugin = None  # the target asks for one itself: that is its own, and stays as it is
            return
        self._plugin.warnings = _Quiet
        for name in ("JSONReport", "JSONReportWorker"):
            setattr(self._plugin, name, self._forgiving(getattr(self._plugin, name)))
        option.json_report = True
        option.json_report_file = self._path
        option.json_report_omit = list(_OMIT)
        option.json_report_summary, option.json_report_indent, option.json_report_verbosity = False, None, -99

    def _forgiving(self, reporter):
        """The class *reporter* with hooks that never raise: the first that would is the end of the report.

        A plugin that runs tests by a protocol of its own leaves out what the others rely on, and tests patch `json.dump`.
        """

        def broken(self_):
            self.stop(self_._config)
            try:
                os.remove(self._path)  # the half of a report is none
            except OSError:
                pass

        hooks = {
            name: _forgiving(function, broken)
            for name, function in inspect.getmembers(reporter, inspect.isfunction)
            if name.startswith("pytest_")
        }
        return type(reporter.__name__, (reporter,), hooks)

    def selected(self, config, number):
        """*number* tests will run: above the limit the report costs too much (+33 % CPU on empty tests)."""
        if self._plugin is not None and number > self._most:
            self.stop(config)

    def stop(self, config):
        """No report is made from here on."""
        if self._plugin is None:
            return
        self._plugin = None
        config.option.json_report = False  # the plugin's fixture then gives a dict that nobody keeps
        reporter = config.__dict__.pop("_json_report", None)
        if reporter is not None:
            config.pluginmanager.unregister(reporter)


def _forgiving(function, broken):
    """The hook *function*, which calls *broken* with its object where it would raise."""
    kind = _forgiving_wrapper if inspect.isgeneratorfunction(function) else _forgiving_hook
    forgiving = functools.wraps(function)(kind(function, broken))  # with the marks that make it a wrapper
    forgiving.__signature__ = inspect.signature(function)  # pluggy calls by the names of the arguments
    return forgiving


def _forgiving_hook(function, broken):
    def forgiving(self, *args):
        try:
            return function(self, *args)
        except Exception:
            broken(self)

    return forgiving


def _forgiving_wrapper(function, broken):
    def forgiving(self, *args):
        wrapper = function(self, *args)
        try:
            next(wrapper)
        except Exception:
            broken(self)
            wrapper = None
        outcome = yield
        if wrapper is not None:
            try:
                wrapper.send(outcome)
            except StopIteration:
                pass
            except Exception:
                broken(self)

    return forgiving
