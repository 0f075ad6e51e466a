"""What only the process that runs a test can see: that it starts, the exception that ends it, an attempt kept quiet."""

import pytest

from recall_probe.hooks import result, wrapper
from recall_probe.stream import node_id, seconds


class Evidence:
    """Where the tests run in the process that owns the stream; `Reporting` asks it at each report."""

    def __init__(self, stream, describer, measuring, worker=None):
        self._stream, self._describer, self._worker = stream, describer, worker
        self._measuring = measuring
        self._tail = ',"worker":%s}' % stream.quoted(worker) if worker else "}"
        self.quiet = {}  # (node id, phase) → a failed report that pytest has not been told of

    @wrapper
    def pytest_runtest_makereport(self, item, call):
        """Attach the failure to the report as plain values: xdist and subtests carry it over."""
        self._measuring.ended(
            item, call
        )  # from here: another hook of ours would cost as much as all that it does
        outcome = yield
        if call.excinfo is not None:
            self._describe(item, call, result(outcome))
        return outcome

    def _describe(self, item, call, report):
        if report is None or report.outcome != "failed":
            return
        self.quiet[report.nodeid, report.when] = report
        try:
            report.recall_failure = self._describer.of_exception(call.excinfo, report.longrepr, item)
        except Exception as error:  # the report's own text has to do
            self._stream.fact(
                "note", id=node_id(item.nodeid), text="no details of a failure: %r" % type(error)
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        """Said by the worker itself: a controller hears of it later, and not from whom."""
        self._measuring.begun(nodeid)
        stream = self._stream
        text = '{"e":"start","t":%s,"id":%s%s' % (stream.stamp(), stream.id(nodeid), self._tail)
        # In a worker the test before this one has run since the last write; alone, its `finish` came after it.
        stream.line(text, check=self._worker is not None)

    def told(self, report):
        """pytest is told of *report*."""
        self.quiet.pop((report.nodeid, report.when), None)

    def finished(self, nodeid):
        """The plugin `flaky` runs a test again without a word to pytest of the attempt that failed."""
        for report in self.quiet.values():
            self._stream.fact(
                "phase",
                id=node_id(nodeid),
                when=report.when,
                outcome="rerun",
                dur=seconds(report.duration),
                worker=self._worker,
                failure=self._describer.of_report(report),
            )
        self.quiet.clear()


class WorkersEvidence(Evidence):
    """In a worker of xdist, where nobody else looks at the reports."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.told(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid):
        self.finished(nodeid)
