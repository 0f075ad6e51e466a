"""What collection found: how many tests, which files and functions, and what hindered it."""

import pytest

from recall_probe.stream import clean, node_id

_FACT_MOST = 1_000_000  # characters of one `file` fact, about
_SILENT_MARKS = ("parametrize", "usefixtures", "filterwarnings")
_DOC_MOST, _PARAM_MOST = 120, 8000


class Collecting:
    """In the process that collects; *worker* is xdist's name for it, *wanted* the detail of `file` facts.

    Where several processes collect the same, one *tells* what it finds, and all say how many tests they have.
    """

    def __init__(self, stream, describer, json_report, worker, wanted, tells):
        self._stream, self._describer, self._json_report = stream, describer, json_report
        self._worker, self._wanted, self._tells = worker, wanted, tells
        self._deselected = 0

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector):
        outcome = yield
        if outcome.excinfo is not None:
            return
        report = outcome.get_result()
        call = getattr(report, "call", None)
        if report.failed and call is not None and call.excinfo is not None:
            try:
                report.recall_failure = self._describer.of_exception(call.excinfo, report.longrepr, collector)
            except Exception as error:  # then the report's own text has to do
                self._stream.fact("note", text="no details of a collection error: %r" % type(error))

    def pytest_collectreport(self, report):
        if self._tells and report.skipped and report.longrepr:
            self._stream.fact(
                "collect",
                id=node_id(report.nodeid),
                outcome="skipped",
                reason=self._describer.reason(report.longrepr),
            )

    def pytest_deselected(self, items):
        self._deselected += len(items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        number = len(session.items)
        self._json_report.selected(session.config, number)
        if self._wanted != "none":
            try:
                self._list(session.items)
            except Exception as error:  # an item of a foreign kind
                self._stream.fact(
                    "note", text="the list of tests is not complete: %s: %s" % (type(error).__name__, error)
                )
        self._stream.fact("collected", n=number, deselected=self._deselected, worker=self._worker)

    def _list(self, items):
        files = {}
        lists, counts = self._wanted != "names", self._wanted != "ids"
        for item in items:
            path, name, param = _split(item.nodeid)
            tests = files.get(path)
            if tests is None:
                tests = files[path] = {}
            about = tests.get(name)
            if about is None:
                about = tests[name] = self._about(item) if counts else {}
            if param is not None and lists:
                about.setdefault("params", []).append(param)
            if counts:
                about["n"] = about.get("n", 0) + 1
        for path, tests in files.items():
            for part in _parts(tests):
                self._stream.fact("file", id=path, tests=part)

    def _about(self, item):
        about = {"line": (item.location[1] or 0) + 1}
        if self._wanted == "full":
            marks = {mark.name for mark in item.iter_markers() if mark.name not in _SILENT_MARKS}
            fixtures = getattr(getattr(item, "_fixtureinfo", None), "argnames", ())
            document = getattr(getattr(item, "obj", None), "__doc__", None)
            about.update(marks=sorted(marks), fixtures=_fixtures(item, fixtures))
            if isinstance(document, str) and document.strip():
                about["doc"] = clean(document.strip().split("\n", 1)[0][:_DOC_MOST])
        return {key: value for key, value in about.items() if value}


def _fixtures(item, names):
    """The fixtures that a test asks for by name, without the arguments that parameters fill."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return [name for name in names if name not in params]


def _split(nodeid):
    """File, name (`Class::method`) and the text between the brackets, if there are any."""
    path, _, name = node_id(nodeid).partition("::")
    if name[-1:] == "]" and "[" in name:
        name, _, param = name[:-1].partition("[")
        return path, name, param
    return path, name, None


def _parts(tests):
    """*tests* in pieces of about 1 MB: a function with very many parameters may be in several."""
    part, size = {}, 0
    for name, about in tests.items():
        params = about.pop("params", ())
        if about.get("n") == 1:
            del about["n"]
        part[name] = about
        size += len(name) + 200
        for param in params:
            if size > _FACT_MOST:
                yield part
                part, size = {name: {}}, 0
            part[name].setdefault("params", []).append(param)
            size += len(param) + 4
        if size > _FACT_MOST:
            yield part
            part, size = {}, 0
    if part:
        yield part
