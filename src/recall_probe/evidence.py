"""What only the process that runs a test can see: that it starts, the exception that ends it, an attempt kept quiet."""

import pytest
from _pytest.reports import TestReport

from recall_probe.stream import node_id, seconds


class Evidence:
    """Where the tests run; *reporting* is there where the same process owns the stream."""

    def __init__(self, stream, describer, measuring, worker=None, reporting=None):
        self._stream, self._describer, self._worker = stream, describer, worker
        self._measuring, self._reporting = measuring, reporting
        self._tail = ',"worker":%s}' % stream.quoted(worker) if worker else "}"
        self.raised = measuring.raised  # what pytest has not been told of
        if reporting is not None:
            reporting.runs_here(self)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        """Said by the worker itself: a controller hears of it later, and not from whom."""
        stream = self._stream
        before = self._reporting.before(nodeid) if self._reporting is not None else ""
        now = stream.now()
        self._measuring.begun(nodeid, now)
        stream.line(
            '{"e":"start","t":%s,"id":%s%s%s' % (stream.stamp(now), stream.id(nodeid), before, self._tail)
        )

    def told(self, report):
        """pytest is told of *report*: attach the failure as plain values, which xdist and subtests carry over."""
        item, call = self.raised.pop((report.nodeid, report.when), (None, None))
        if call is not None and report.outcome not in ("passed", "skipped"):
            self._describe(report, item, call)

    def _describe(self, report, item, call):
        try:
            report.recall_failure = self._describer.of_exception(call.excinfo, report.longrepr, item)
        except Exception as error:  # the report's own text has to do
            self._stream.fact(
                "note", id=node_id(item.nodeid), text="no details of a failure: %r" % type(error)
            )

    def finished(self, nodeid):
        """The plugin `flaky` runs a test again without a word to pytest of the attempt that failed."""
        quiet = list(self.raised.values())
        self.raised.clear()
        for item, call in quiet:
            try:
                self._quiet(nodeid, TestReport.from_item_and_call(item, call), item, call)
            except Exception as error:  # an item of a foreign kind
                self._stream.fact("note", id=node_id(nodeid), text="an attempt is not told: %r" % type(error))

    def _quiet(self, nodeid, report, item, call):
        if report.outcome != "failed":
            return
        self._describe(report, item, call)
        self._stream.fact(
            "phase",
            id=node_id(nodeid),
            when=report.when,
            outcome="rerun",
            dur=seconds(report.duration),
            worker=self._worker,
            failure=self._describer.of_report(report),
        )


class WorkersEvidence(Evidence):
    """In a worker of xdist, where nobody else looks at the reports."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if self.raised:
            self.told(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid):
        if self.raised:
            self.finished(nodeid)
