"""What tests tell of themselves, written down: one bounded, redacted fact for each, at once.

A fact is appended with a write of its own, never held back, so that it survives the test and no thread gets
between two others' lines. Which test is running is known by a context variable, which async tasks
inherit, and for threads by the process; for subprocesses by what pytest says in their environment.
"""

import contextvars
import importlib.util
import itertools
import json
import os
import sys
import types

from recall_probe.stream import Stream, clean, node_id, seconds
from recall_probe.values import described, plain

LIVE = (
    "pytest-recall:live"  # in sys.modules: whichever copy of this package a test imports finds the recorder
)
ADDRESS = "RECALL_CONTEXT"  # in the environment of what tests start: where they may write

_ENTRIES_MOST, _SIZE_MOST = 200, 100000  # of one attempt
_FIELDS_MOST, _NAME_MOST, _TEXT_MOST, _STEPS_MOST = 30, 200, 4000, 8
_PHASES = ("setup", "call", "teardown")
_SCALAR = (int, float, bool, type(None))
_FIXTURES = {"pytest_fixture_setup", "finish"}  # pytest's own functions, inside of which fixtures run
# Without one of these there is nothing to redact, and looking closely costs ten times as much.
_HINTS = (
    "pass pwd secret token key cred auth cookie bearer :// sk- k_live k_test gh glpat xox xapp akia asia aroa aida"
    " aiza ya29 pypi- npm_ hf_ eyj slack"
).split()


_REDACT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "redact.py")
_redact = []  # the module, once it is needed: compiling its patterns takes longer than most sessions' context


def _hinted(text):
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            return True
    return False


def _redacting():
    """Our module for secrets. By path: in a run of pytest-recall's our package has stepped aside."""
    if not _redact:
        spec = importlib.util.spec_from_file_location("recall_probe_redact", _REDACT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _redact.append(module)
    return _redact[0]


def unsecret(name, text):
    """The field *name*, *text* without secrets."""
    return _redacting().field(name, text) if _hinted(name) or _hinted(text) else (name, text)


class Where:
    """A test under way."""

    attempt, phase, over = 0, "setup", False
    entries = size = 0
    head = None  # the part of a fact that names it

    def __init__(self, nodeid):
        self.id = nodeid


_current = contextvars.ContextVar("recall_test", default=None)
_steps = contextvars.ContextVar(
    "recall_steps", default=()
)  # (serial, whether a fixture wider than a test began it)


class Recorder:
    """Of one process; *worker* is xdist's name for it, and *main* says whether it runs the session's tests."""

    _quoted = staticmethod(json.encoder.encode_basestring_ascii)
    _encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
    _environ = os.environ
    _getpid = staticmethod(os.getpid)
    _frame = staticmethod(sys._getframe)

    def __init__(self, path, worker=None, main=False):
        self._path, self._main = path, main
        if not main and not os.path.exists(path):
            raise FileNotFoundError(path)
        self._stream = Stream(path)
        self._pid = self._getpid()
        self._worker = ',"worker":' + self._quoted(worker) if worker else ""
        self._serial = itertools.count(1)
        self.here = None

    # --- the session ------------------------------------------------------------------------

    def listen(self):
        """From here on this process's tests are heard."""
        live = types.ModuleType(LIVE)
        live.recorder = self
        sys.modules[LIVE] = live

    def deaf(self):
        if getattr(sys.modules.get(LIVE), "recorder", None) is self:
            del sys.modules[LIVE]

    def enter(self, nodeid):
        """The test *nodeid* begins."""
        here = self.here
        if here is None or here.id != nodeid:
            here = self.here = Where(nodeid)
        _current.set(here)
        if _steps.get():  # a test may have left one open, in a generator perhaps
            _steps.set(tuple([step for step in _steps.get() if step[1]]))

    def test(self):
        here = self._here()
        return here.id if here is not None else ""

    # --- what is told -----------------------------------------------------------------------

    def say(self, kind, name, told, more):
        """One entry: *told* and *more* are its fields by name."""
        try:
            pairs = [*told.items(), *more.items()]
            fields = [self._field(key, value) for key, value in pairs[:_FIELDS_MOST]]
            if len(pairs) > _FIELDS_MOST:
                fields.append(self._field("…", "%d more fields" % (len(pairs) - _FIELDS_MOST)))
            self._write(kind, name, ",".join(fields), "")
        except (
            Exception
        ):  # of the project's own values, or of a stream in a bad way: never its test's business
            pass

    def begin(self, name):
        """A step begins; gives what `finish` wants back."""
        try:
            serial = "%d.%d" % (self._getpid(), next(self._serial))
            around, here = _steps.get(), self._here()
            self._write("step", name, "", ',"step":"%s"' % serial)
            _steps.set((*around, (serial, here is not None and self._scope(here) is not None)))
            return self, serial, around, self._stream.now()
        except Exception:
            return None

    def finish(self, token, error):
        """The step of *token* ends, by an exception of type *error* or by itself."""
        try:
            _, serial, around, began = token
            _steps.set(around)
            failed = ',"error":' + self._quoted(clean(error.__name__)[:_NAME_MOST]) if error else ""
            self._line(
                '{"e":"stepped","t":%.4f,"step":"%s","dur":%s%s}'
                % (self._stream.now(), serial, seconds(self._stream.now() - began), failed)
            )
        except Exception:
            pass

    # --- inside -----------------------------------------------------------------------------

    def _here(self):
        if self._main:
            # A task of a wider fixture was begun in the first test that asked for that, and serves all others.
            here = _current.get()
            return self.here if here is None or here.over else here
        told = self._environ.get("PYTEST_CURRENT_TEST", "")
        nodeid, _, phase = told.rpartition(" (")
        if self.here is None or self.here.id != nodeid:
            self.here = Where(nodeid)
            self.here.attempt = None
        self.here.phase = phase.rstrip(")")
        return self.here

    def _write(self, kind, name, fields, more):
        here = self._here()
        if here is None:
            return
        here.entries += 1
        here.size += len(fields)
        if here.entries > _ENTRIES_MOST or here.size > _SIZE_MOST:
            if here.size < 1 << 40:  # said once
                here.size = 1 << 40
                kind, name, fields, more = (
                    "agent_log",
                    "warning",
                    '["message","what follows was too much to be kept"]',
                    "",
                )
            else:
                return
        if here.head is None:
            here.head = self._quoted(node_id(here.id))
        where = ',"id":%s' % here.head
        scope = self._scope(here)
        if scope is not None:
            where = ',"scope":"%s","id":%s' % (scope[0], self._quoted(node_id(scope[1])))
        steps = _steps.get()
        if type(name) is not str or name:
            name = self._name(name)
        self._line(
            '{"e":"ctx","t":%.4f,"k":"%s"%s,"when":"%s"%s%s%s%s%s%s}'
            % (
                self._stream.now(),
                kind,
                where,
                self._phase(here),
                ',"n":%d' % here.attempt if here.attempt else "",
                ',"name":' + self._quoted(name) if name else "",
                ',"in":"%s"' % steps[-1][0] if steps else "",
                more,
                ',"f":[%s]' % fields if fields else "",
                self._worker if self._main and self._getpid() == self._pid else ',"pid":%d' % self._getpid(),
            )
        )

    def _line(self, text):
        if not self._stream.ours():  # a fork: it has a stream of its own, and no part in ours
            self._stream = Stream(self._path)
        self._stream.line(text)

    def _phase(self, here):
        """The phase of the test: pytest's own word, which knows a subtest from the call's end, where no test has hidden it."""
        nodeid, _, phase = self._environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")
        return phase[:-1] if nodeid == here.id and phase[:-1] in _PHASES else here.phase

    def _scope(self, here):
        """(scope, node id) of the fixture that is being set up or torn down, where it is wider than the test."""
        if not self._main or self._phase(here) == "call":
            return None
        frame = self._frame(2)
        while frame is not None:
            if frame.f_code.co_name in _FIXTURES and frame.f_globals.get("__name__") == "_pytest.fixtures":
                request = frame.f_locals.get("request")
                scope = getattr(request, "scope", "function")
                return None if scope == "function" else (scope, str(getattr(request.node, "nodeid", "")))
            frame = frame.f_back
        return None

    @staticmethod
    def _name(name):
        """*name*, of whatever type, as a text; without asking what it calls itself."""
        name = str.__str__(name) if issubclass(type(name), str) else "" if name is None else described(name)
        return unsecret(clean(name)[:_NAME_MOST], "")[0]

    def _field(self, name, value):
        name, kind = clean(name)[:_NAME_MOST], type(value)
        scalar = kind in _SCALAR
        text = value if kind is str else described(value) if scalar else self._text(value)
        if not scalar and len(text) > _TEXT_MOST:
            text = "%s… [%d characters cut]" % (text[:_TEXT_MOST], len(text) - _TEXT_MOST)
        text = clean(text)
        if not scalar or _hinted(name):  # a number is no secret by itself
            name, text = unsecret(name, text)
        return "[%s,%s]" % (self._quoted(name), self._quoted(text))

    def _text(self, value):
        """*value* as JSON, or where that has no word for it, as a frame's variables are shown."""
        try:
            return self._encode(plain(value))
        except Exception:  # a ring, a key that is no text, an integer of thousands of digits
            return described(value)
