"""What only the process that runs a test can see: that it starts, the exception that ends it, an attempt kept quiet."""

import pytest

from recall_probe.stream import node_id, seconds


class Evidence:
    def __init__(self, stream, describer, worker):
        self._stream, self._describer, self._worker = stream, describer, worker
        self._quiet = {}  # (node id, phase) → a failed report that pytest has not been told of

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        """Attach the failure to the report as plain values: xdist and subtests carry it over."""
        outcome = yield
        if call.excinfo is None or outcome.excinfo is not None:
            return
        report = outcome.get_result()
        if report.outcome == "failed":
            self._quiet[report.nodeid, report.when] = report
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if self._quiet:
            self._quiet.pop((report.nodeid, report.when), None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid):
        """The plugin `flaky` runs a test again without a word to pytest of the attempt that failed."""
        for report in self._quiet.values():
            self._stream.fact(
                "phase",
                id=node_id(nodeid),
                when=report.when,
                outcome="rerun",
                dur=seconds(report.duration),
                worker=self._worker,
                failure=self._describer.of_report(report),
            )
        self._quiet.clear()
