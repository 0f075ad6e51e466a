"""What only the process that runs a test can see: that it starts, and the exception that ends it."""

import pytest

from recall_probe.stream import node_id


class Evidence:
    def __init__(self, stream, describer, worker):
        self._stream, self._describer, self._worker = stream, describer, worker

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        """Attach the failure to the report as plain values: xdist and subtests carry it over."""
        outcome = yield
        if call.excinfo is None or outcome.excinfo is not None:
            return
        report = outcome.get_result()
        if report.outcome == "failed":
            try:
                report.recall_failure = self._describer.of_exception(call.excinfo, report.longrepr, item)
            except Exception as error:  # the report's own text has to do
                self._stream.fact(
                    "note", id=node_id(item.nodeid), text="no details of a failure: %r" % type(error)
                )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        """Said by the worker itself: a controller hears of it later, and not from whom."""
        stream = self._stream
        worker = ',"worker":' + stream.quoted(self._worker) if self._worker else ""
        text = '{"e":"start","t":%.4f,"id":%s%s}' % (stream.now(), stream.quoted(node_id(nodeid)), worker)
        # In a worker the test before this one has run since the last write; alone, its `finish` came after it.
        stream.line(text, check=bool(worker))
