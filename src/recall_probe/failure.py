"""Why a test failed, as plain values: from the exception where the test ran, else from pytest's report.

No code of the project's runs in here but what pytest itself ran to render the failure: values are
described by their builtin types, never by their own `__repr__`.
"""

import linecache
import os
import re
import traceback

from recall_probe import values
from recall_probe.stream import clean, cut, tail

FRAMES_MOST = 40
_SOURCE_MOST = 300
_WEIGHT_MOST = 64 * 2**20  # characters that all failures of a process together may tell; then
_LATE_MOST = 500  # characters of a message have to do
_CAUSE_MOST = 500
_LEAVES_MOST = 5
_TYPE = re.compile(r"\s*((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?::|$)")
_AVAILABLE = re.compile(r"available fixtures: (.*)")


class Describer:
    """Makes the `failure` of a fact; *root* is where the project's own frames lie."""

    _lines = staticmethod(linecache.getline)
    _only = staticmethod(traceback.format_exception_only)

    def __init__(self, root, max_text, with_locals):
        self._inside = os.path.join(str(root), "")
        self._max_text = max_text
        self._weight = 0
        self._locals = with_locals

    # --- from the exception ---------------------------------------------------------------

    def of_exception(self, excinfo, longrepr, node):
        """The failure of *excinfo*, whose rendering by pytest is *longrepr*, at *node*. May raise."""
        value, entries = excinfo.value, _shown(excinfo, node)
        if _is(value, "CollectError", "ConftestImportFailure"):
            inner = value.__cause__ or getattr(value, "cause", None)
            if inner is not None:
                value, entries = inner, _imports(type(excinfo), inner)
        frames = [self._frame(entry) for entry in _bounded(entries)]
        if _is(value, "FixtureLookupError"):
            frames, message = _fixture(longrepr, frames)
            entries = []  # the frames are pytest's own, and so are their locals
        elif isinstance(value, SyntaxError):
            frames.append(
                [str(value.filename or ""), value.lineno or 0, "", (value.text or "").strip()[:_SOURCE_MOST]]
            )
            message = self._exconly(value).splitlines()[-1]
        elif hasattr(longrepr, "reprlocation_lines"):
            return self._doctest(value, longrepr)
        else:
            message = _message(longrepr) if value is excinfo.value else ""
            message = message or self._exconly(value)
            message += self._leaves(value)
        found = {"type": values.type_name(type(value)), "message": cut(message, self._max_text)}
        found["frames"] = [
            [clean(path), line, name, clean(source)] for path, line, name, source in _bounded(frames)
        ]
        cause = _root_cause(value) if entries else None
        if cause is not None:
            found["cause"] = cut(self._exconly(cause).strip(), _CAUSE_MOST)
        if self._locals and entries:
            found["locals"] = self._of_frame(entries)
        return found

    def _frame(self, entry):
        code = entry.frame.code.raw
        line = entry.lineno + 1
        source = self._lines(code.co_filename, line, entry.frame.f_globals).strip()
        return [str(entry.path), line, code.co_name, source[:_SOURCE_MOST]]

    def _exconly(self, value):
        return "".join(self._only(type(value), value)).rstrip()

    def _leaves(self, value):
        """The first leaves of an exception group, a line each: the group's own message tells nothing."""
        if not _is(value, "BaseExceptionGroup"):
            return ""
        leaves, todo = [], list(value.exceptions)
        while todo and len(leaves) < _LEAVES_MOST:
            first = todo.pop(0)
            if _is(first, "BaseExceptionGroup"):
                todo[:0] = first.exceptions
            else:
                leaves.append("\n  " + self._exconly(first)[:_CAUSE_MOST])
        return "".join(leaves)

    def _of_frame(self, entries):
        project = [entry for entry in entries if self._is_project(str(entry.path))]
        frame = (project or entries)[-1].frame.raw
        return values.variables(dict(frame.f_locals))

    def _is_project(self, path):
        return path.startswith(self._inside) and "site-packages" not in path

    def _doctest(self, value, longrepr):
        failure = (getattr(value, "failures", None) or [value])[0]
        test, example = failure.test, failure.example
        location, lines = longrepr.reprlocation_lines[0]
        line = location.lineno if test.lineno is None else test.lineno + example.lineno + 1
        if hasattr(failure, "exc_info"):
            kind, error = failure.exc_info[:2]
            kind, message = values.type_name(kind), self._exconly(error)
        else:
            kind, message = "doctest.DocTestFailure", _expected(lines)
        frame = [str(test.filename or location.path), line, test.name, example.source.strip()[:_SOURCE_MOST]]
        return {"type": kind, "message": cut(message, self._max_text), "frames": [frame]}

    # --- from the report ------------------------------------------------------------------

    def of_report(self, report):
        """The failure that *report* carries, or tells of where the exception was never at hand; with its text."""
        carried = getattr(report, "recall_failure", None)
        found = carried if isinstance(carried, dict) else self._rendered(report)
        if self._weight > _WEIGHT_MOST:  # the run folder shall not fill the disk
            return dict(found, message=found["message"][:_LATE_MOST], frames=found["frames"][-3:], locals=[])
        text = self._text(report)
        self._weight += len(text) + len(found["message"])
        return dict(found, text=text)

    def section(self, text):
        """The end of what was captured."""
        if self._weight > _WEIGHT_MOST:
            return ""
        text = tail(text, self._max_text)
        self._weight += len(text)
        return text

    def _rendered(self, report):
        longrepr = report.longrepr
        chain = getattr(longrepr, "chain", None)
        if hasattr(longrepr, "reprlocation_lines"):
            location, lines = longrepr.reprlocation_lines[-1]
            kind, message = location.message, _expected(lines)
            frames = [[str(location.path), location.lineno, "", ""]]
        elif chain:
            frames, kind = _entries(chain[-1][0])
            message = _message(longrepr)
        elif isinstance(longrepr, tuple):
            kind, message, frames = "", str(longrepr[2]), [[str(longrepr[0]), longrepr[1] or 0, "", ""]]
        else:
            message, frames, kind = _marked(str(longrepr or "")), _at(report), ""
        match = _TYPE.match(message)
        kind = kind or (match.group(1) if match else "Failed")
        return {"type": clean(kind), "message": cut(message, self._max_text), "frames": _bounded(frames)}

    def _text(self, report):
        """pytest's own rendering of the failure in *report*, bounded."""
        try:
            text = report.longreprtext
            if hasattr(report, "node"):  # xdist's: the first line names the worker and its interpreter
                text = text.partition("\n")[2].strip()
            return cut(text, self._max_text)
        except Exception as error:  # a plugin's own longrepr
            return "<no text: %s>" % type(error).__name__

    def reason(self, longrepr):
        """Why a test was skipped or is expected to fail, from what pytest says of it."""
        text = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)
        for said in ("Skipped: ", "reason: "):
            if text.startswith(said):
                text = text[len(said) :]
                break
        return cut(text, self._max_text)


def _is(value, *names):
    """Whether *value*'s type, or a base of it, has one of the *names*: for types that not all versions have."""
    return any(base.__name__ in names for base in type(value).__mro__)


def _shown(excinfo, node):
    """The traceback's entries as pytest would show them."""
    prune = getattr(node, "_traceback_filter", None)
    if prune is not None:
        entries = prune(excinfo)
    else:  # pytest < 7.4 has pruned `excinfo.traceback` in place while rendering
        entries = excinfo.traceback
    visible = [entry for entry in entries if not _hidden(entry, excinfo)]
    return visible or list(entries) or list(excinfo.traceback)[-1:]


def _hidden(entry, excinfo):
    try:
        return entry.ishidden(excinfo)
    except TypeError:  # pytest < 7.4
        return entry.ishidden()


def _imports(exception_info, error):
    """The entries of an import that failed, without the machinery of importing."""
    from _pytest._code.code import filter_traceback

    if error.__traceback__ is None:
        return []
    excinfo = exception_info.from_exc_info((type(error), error, error.__traceback__))
    machinery = os.sep + os.path.join("importlib", "__init__.py")
    return [
        entry
        for entry in excinfo.traceback.filter(filter_traceback)
        if not str(entry.path).endswith(machinery)
    ]


def _fixture(longrepr, frames):
    """Where a fixture was asked for that does not exist, and the names that come nearest."""
    import difflib  # 1.5 ms, which few sessions need

    error = getattr(longrepr, "errorstring", "")
    message = error.strip().split("\n", 1)[0]
    asked = getattr(longrepr, "argname", None)
    names = _AVAILABLE.search(error)
    if asked and names:
        near = difflib.get_close_matches(asked, names.group(1).split(", "), 3)
        message += "; nearest: " + ", ".join(near) if near else ""
    if getattr(longrepr, "filename", None):
        lines = [line.strip() for line in longrepr.tblines if line.strip().startswith(("def ", "async def "))]
        name = re.sub(r"^(async )?def (\w+).*", r"\2", lines[-1]) if lines else ""
        source = lines[-1][:_SOURCE_MOST] if lines else ""
        frames = [[str(longrepr.filename), longrepr.firstlineno + 1, name, source]]
    return frames, message


def _root_cause(value):
    """The first exception of the chain that led to *value*, or None."""
    seen, last = {id(value)}, value
    while True:
        earlier = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if earlier is None or id(earlier) in seen:
            return None if last is value else last
        seen.add(id(earlier))
        last = earlier


def _message(longrepr):
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else longrepr if isinstance(longrepr, str) else ""


def _expected(lines):
    """What a doctest expected and got: the part after the source."""
    for number, line in enumerate(lines):
        if line.startswith(("Expected", "Got:", "UNEXPECTED EXCEPTION")):
            return "\n".join(lines[number:])
    return "\n".join(lines)


def _entries(reprtraceback):
    """The frames of a rendered traceback, and the exception's type as its last line names it."""
    frames, kind = [], ""
    for entry in getattr(reprtraceback, "reprentries", ()):
        location = getattr(entry, "reprfileloc", None)
        if location is not None:
            marked = [line[1:].strip() for line in entry.lines if line.startswith(">")]
            frames.append([str(location.path), location.lineno, "", (marked or [""])[-1][:_SOURCE_MOST]])
            kind = location.message or kind
    return frames, kind if _TYPE.match(kind + ":") else ""


def _marked(text):
    """The message within a rendering that is only text."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
    return "\n".join(marked) or text.strip()


def _at(report):
    location = getattr(report, "location", None)
    return [[str(location[0]), (location[1] or 0) + 1, str(location[2]), ""]] if location else []


def _bounded(frames):
    if len(frames) > FRAMES_MOST:
        frames = frames[: FRAMES_MOST // 4] + frames[-(FRAMES_MOST - FRAMES_MOST // 4) :]
    return frames
