"""What each phase of a test cost beside time: CPU, memory, console output; and which test is running, for `recording`.

A phase that took less than 5 ms and printed nothing is not told of: what could be said of it is noise. Reading the CPU's clock
costs 1 us, so it is read for what is told, and else at most every 5 ms: what lies between is taken for busy.
"""

import importlib.util
import os
import sys
import time

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None

from recall_probe.recording import ADDRESS, Recorder

_QUIET_S = 0.005  # of a phase that is not told of
_NEXT = {"setup": "call", "call": "teardown", "teardown": "setup"}
_KILO = 1024 if sys.platform == "darwin" else 1  # what ru_maxrss counts in


class Measuring:
    """In each process that runs tests; `Evidence` says when one begins, and looks at the exceptions."""

    _cpu_s = staticmethod(time.process_time)
    _usage = staticmethod(resource.getrusage) if resource else None
    _self = resource.RUSAGE_SELF if resource else None
    _frame = staticmethod(sys._getframe)

    def __init__(self, path, stream, worker=None, installed=None):
        self._path, self._stream, self._installed = path, stream, installed
        self._recorder = Recorder(path, worker, main=True)
        self._cpu, self._looked = self._cpu_s(), stream.now()  # at the last look
        self._peak = self._peak_kb()
        self.raised = {}  # (node id, phase) → the item and the call that ended in an exception

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self):
        self._recorder.listen()
        # Where what the tests start can import us; else they see no variable of ours.
        if _installed() if self._installed is None else self._installed:
            os.environ[ADDRESS] = self._path

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        self._recorder.deaf()
        if os.environ.get(ADDRESS) == self._path:
            del os.environ[ADDRESS]

    def begun(self, nodeid, now):
        """The test *nodeid* begins *now*."""
        self._recorder.enter(nodeid)
        if now - self._looked > _QUIET_S:
            self._cpu, self._looked = self._cpu_s(), now

    @pytest.hookimpl
    def pytest_runtest_makereport(self, item, call):
        """After pytest's own for `unittest`, which comes first and puts the exception there. Never raises.

        It only listens: to wrap the others costs twice as much, and of most phases there is nothing to tell.
        """
        if call.excinfo is not None:
            self.raised[item.nodeid, call.when] = item, call
        here, following = self._recorder.here, _NEXT.get(call.when)
        if here is None or following is None:
            return
        try:
            if (call.duration >= _QUIET_S or item._report_sections) and not self._within(call):
                cpu, now = self._cpu_s(), self._stream.now()
                before = max(now - self._looked - call.duration, 0.0)
                self._tell(item, call, here, cpu - self._cpu - before, call.duration >= _QUIET_S)
                self._cpu, self._looked = cpu, now
        except Exception:  # of a clock that the test has patched, or an item of a foreign kind
            pass
        if following == "setup":
            here.over = True
            extra = getattr(item, "_json_report_extra", None)
            if extra and extra.get("metadata"):
                self._recorder.say("metadata", "json_metadata", extra["metadata"], {})
            here.attempt = (here.attempt or 0) + 1
        here.phase = following

    def _within(self, call):
        """Whether that is a subtest's: its call is no phase, and the one that it is part of goes on."""
        frame = self._frame(2) if call.when == "call" else None
        while frame is not None:
            if frame.f_code.co_name == "from_call" and frame.f_globals.get("__name__") == "_pytest.runner":
                return True
            frame = frame.f_back
        return False

    def _tell(self, item, call, here, cpu, slow):
        output = sum(
            len(text)
            for when, name, text in item._report_sections
            if when == call.when and name in ("stdout", "stderr")
        )
        if not (slow or output):
            return
        peak = self._peak_kb()
        grown, self._peak = max(peak - self._peak, 0), max(peak, self._peak)
        self._stream.line(
            '{"e":"cost","t":%.4f,"id":%s,"when":"%s"%s,"cpu":%.6f,"peak":%d,"grown":%d,"out":%d}'
            % (
                self._stream.now(),
                self._stream.id(here.id),
                call.when,
                ',"n":%d' % here.attempt if here.attempt else "",
                max(cpu, 0.0),
                peak,
                grown,
                output,
            )
        )

    def _peak_kb(self):
        """The most memory that this process had at any time, in kB; 0: not known."""
        return self._usage(self._self).ru_maxrss // _KILO if self._usage else 0


def _installed():
    """Whether our wheel is installed where the tests run."""
    try:
        if importlib.util.find_spec("recall_probe") is None:
            return False
        try:
            from importlib.metadata import distribution
        except ImportError:  # Python 3.7, where pytest itself needs the other
            from importlib_metadata import distribution

        return bool(distribution("pytest-recall-plugin"))
    except Exception:  # no such distribution, or a package of our name that is none of ours
        return False
