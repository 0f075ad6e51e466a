"""pytest's log of a session, written down: where the project keeps no log file of its own, its handler's goes here."""

import os

import pytest

from recall_probe.stream import Stream, clean

MOST = 256 * 1024  # bytes of one process
_CUT = b"\n[... the rest of the log is left out ...]\n"


class LogFile(Stream):
    """As much of a stream of text as a handler needs; never raises."""

    def __init__(self, path, most=MOST):
        Stream.__init__(self, path)
        self._left = most

    def write(self, text):
        if self._left <= 0 or not self.ours():
            return
        data = clean(text).encode("utf-8", "replace")
        if len(data) > self._left:
            data = data[: self._left] + _CUT
        self._left -= len(data)
        try:
            self._check()
            self._write(self._fd, data)
        except Exception:  # disk full: the run goes on
            self.lost += 1

    def flush(self):
        pass

    def close(self):
        pass


class Logged:
    """In each process that runs tests."""

    def __init__(self, path):
        self._path = path

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session):
        plugin = session.config.pluginmanager.get_plugin("logging-plugin")
        handler = getattr(plugin, "log_file_handler", None)
        # Without a log file pytest writes to the null device: all is formatted already, and costs no more here.
        if getattr(handler, "baseFilename", None) != os.path.abspath(os.devnull):
            return
        try:
            old = handler.setStream(LogFile(self._path))
        except Exception:  # a log less is no reason not to run
            return
        if old is not None:
            old.close()
