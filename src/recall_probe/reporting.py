"""What happened to each test and to the session, as pytest reports it to its own terminal."""

import os
import sys

import pytest
from _pytest.reports import TestReport

from recall_probe import values
from recall_probe.hooks import wrapper
from recall_probe.stream import clean, cut, micro, node_id, seconds

_QUIET_S = 0.005  # a passed setup or teardown below this is folded into `finish`
_WARNINGS_MOST, _WARNING_MOST = 500, 2000
_PROPERTIES_MOST, _PROPERTY_MOST = 50, 1000
_SUBTEST_TYPES = ("SubTestReport", "SubtestReport")
_PHASES = ("setup", "call", "teardown")
# Whose word on a plain report that passed is known: "passed", but where a test has subtests.
_OWN_WORDS = (
    "_pytest.",
    "recall_probe.",
    "xdist.",
    "pytest_rerunfailures",
    "pytest_jsonreport.",
    "pytest_asyncio.",
)
# Whose code may run between the end of a test and the start of the next, where both are to be written at once.
_BETWEEN = (
    "pytest_runtestloop",
    "pytest_runtest_protocol",
    "pytest_runtest_logstart",
    "pytest_runtest_logfinish",
)
_PYTESTS_OWN = ("_pytest.", "recall_probe.", "xdist.", "pytest_jsonreport.")
_OURS = "pytest-recall-plugin"


class Running:
    """What is folded into a test's `finish`: seconds of phases that passed."""

    setup = call = teardown = worker = None
    teardown_ok = False
    subtests = None  # how many passed, where there were any


class Reporting:
    """In the process that owns the stream."""

    def __init__(self, config, stream, describer, json_report, notes, evidence=None):
        self._config, self._stream, self._describer = config, stream, describer
        self._json_report, self._notes = json_report, notes
        self._evidence = evidence  # where the tests run in this process
        self._asks = None  # whether a plugin may call a report that passed by another name
        self._running = {}
        self._session = None
        self._ahead = None  # tests still to come, where nothing but pytest's own code lies between two
        self._warnings = {}
        self._more_warnings = 0

    # --- the session ----------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session):
        config, self._session = self._config, session
        ini = getattr(config, "inipath", None) or getattr(config, "inifile", None)
        self._stream.fact(
            "session",
            pid=os.getpid(),
            pytest=pytest.__version__,
            python=sys.executable,
            version=list(sys.version_info[:3]),
            root=str(getattr(config, "rootpath", None) or config.rootdir),
            ini=str(ini) if ini else None,
            invocation_dir=str(config.invocation_params.dir),
            args=[str(arg) for arg in config.args],
            plugins=_plugins(config),
            workers=_workers(config),
        )
        seed = _random_seed(config)
        if seed is not None:
            self._stream.fact("random_seed", seed=seed)
        for text in self._notes:
            self._stream.fact("note", text=text)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Around all others: a plugin may change the exit status in its own."""
        self._stream.release()
        if not self._stream.ours():  # a test forked, and its child came back into pytest
            self._json_report.stop(self._config)
        for nodeid, running in list(self._running.items()):
            if (
                running.teardown_ok
            ):  # a plugin has run it in its own way, in another process perhaps, and reported all
                self.pytest_runtest_logfinish(nodeid)
            else:  # something else broke it off
                self._unfold(nodeid, running)
        yield
        for fact, more in self._warnings.values():
            if more:
                self._stream.fact("warn", **dict(fact, count=more))
        if self._more_warnings:
            self._stream.fact(
                "warn",
                category="Warning",
                message="(further warnings)",
                path="",
                line=0,
                count=self._more_warnings,
            )
        self._stream.fact(
            "sessionfinish",
            exit=int(session.exitstatus or 0),
            collected=session.testscollected,
            failed=session.testsfailed,
            lost=self._stream.lost or None,
        )

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        self._stream.fact("end")

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr, excinfo):
        self._stream.fact(
            "internalerror",
            type=values.type_name(excinfo.type),
            text=cut(str(excrepr), self._stream.max_text),
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo):
        self._stream.fact(
            "interrupt", type=values.type_name(excinfo.type), text=cut(_interruption(excinfo), _WARNING_MOST)
        )

    # --- collection and warnings ----------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report):
        if report.failed:
            self._stream.fact(
                "collect",
                id=node_id(report.nodeid),
                outcome="failed",
                failure=self._describer.of_report(report),
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_warning_recorded(self, warning_message, when, nodeid):
        fact = {
            "category": values.type_name(warning_message.category),
            "message": cut(str(warning_message.message), _WARNING_MOST),
            "path": clean(str(warning_message.filename)),
            "line": warning_message.lineno,
        }
        key = tuple(fact.values())
        if key in self._warnings:
            self._warnings[key][1] += 1
        elif len(self._warnings) < _WARNINGS_MOST:
            self._warnings[key] = [fact, 0]
            self._stream.fact("warn", when=when, id=node_id(nodeid) or None, **fact)
        else:
            self._more_warnings += 1

    # --- tests ----------------------------------------------------------------------------

    @wrapper
    def pytest_runtest_logreport(self, report):
        """After all others, and even if one of them raises: pytest 9 changes an outcome while it is reported."""
        evidence = self._evidence
        if evidence is not None and evidence.quiet:
            evidence.told(report)
        try:
            outcome = yield
        finally:
            try:
                self._report(report)
            except Exception as error:  # a report of a foreign kind
                self._stream.fact(
                    "note",
                    id=str(getattr(report, "nodeid", "")),
                    text="a report was not understood: %r" % (error,),
                )
        return outcome

    def _report(self, report):
        nodeid = report.nodeid  # pytest 9.2 puts it together anew for each that asks
        running = self._running.get(nodeid)
        if running is None:
            running = self._running[nodeid] = Running()
        when, kind = report.when, type(report)
        plain = kind is TestReport or kind.__name__ not in _SUBTEST_TYPES
        if report.outcome != "passed":
            self._phase(report, plain, self._category(report), running)
        elif not plain:
            running.subtests = (running.subtests or 0) + 1
        elif when == "call":
            category = self._category(report) if self._asked(report, running) else "passed"
            if report.outcome != "passed" or category not in ("passed", ""):  # asking may change it
                self._phase(report, True, category, running)
            else:
                running.call, running.worker = report.duration, getattr(report, "worker_id", None)
        else:
            duration = report.duration
            running.teardown_ok = last = when == "teardown"
            quiet = duration < _QUIET_S and not (last and report.user_properties)
            setattr(running, when, duration if quiet else None)
            if not quiet:
                self._phase(report, plain, "", running)

    def _asked(self, report, running):
        """Whether what passed may be called by another name: xpassed, or failed for its subtests."""
        if self._asks is None:
            words = self._config.hook.pytest_report_teststatus.get_hookimpls()
            self._asks = any(not _module(word).startswith(_OWN_WORDS) for word in words)
        return self._asks or running.subtests is not None or hasattr(report, "wasxfail")

    def _phase(self, report, plain, category, running):
        stream = self._stream
        self._unfold(report.nodeid, running)
        when, outcome = report.when, report.outcome
        xfail = getattr(report, "wasxfail", None)
        worker = getattr(report, "worker_id", None)
        fields = {
            "id": node_id(report.nodeid),
            "when": when if when in _PHASES else "call",
            "outcome": outcome,
            "dur": seconds(report.duration),
            "status": category if category and category != outcome else None,
            "worker": worker,
        }
        if when not in _PHASES:
            fields["crashed"] = True  # xdist's own report of a worker that died under the test
        if not plain:
            running.subtests = running.subtests or 0
            fields["subtest"] = {"text": _subtest(report)}
        if xfail is not None:
            fields["reason"] = self._describer.reason(xfail)
        elif outcome == "skipped":
            fields["reason"] = self._describer.reason(report.longrepr)
        if outcome in ("failed", "rerun"):
            fields["failure"] = self._describer.of_report(report)
            sections = {
                clean(str(name))[:200]: self._describer.section(text)
                for name, text in report.sections
                if text
            }
            fields["sections"] = sections or None
        if when == "teardown" and report.user_properties:
            fields["props"] = _properties(report.user_properties)
        stream.fact("phase", **fields)

    def _unfold(self, nodeid, running):
        """The call that passed before another phase is told: it came first, and shall be read first."""
        if running.call is not None:
            call = {"when": "call", "outcome": "passed", "dur": seconds(running.call)}
            self._stream.fact("phase", id=node_id(nodeid), worker=running.worker, **call)
            running.call = None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid):
        evidence, stream = self._evidence, self._stream
        if evidence is not None and evidence.quiet:
            evidence.finished(nodeid)
        running = self._running.pop(nodeid, None) or Running()
        text = '{"e":"finish","t":%s,"id":%s' % (stream.stamp(), stream.id(nodeid))
        if running.setup is not None:
            text += ',"setup":%de-6' % (running.setup * 1e6)
        if running.call is not None:
            text += ',"call":%de-6' % micro(running.call)
            if running.worker:
                text += ',"worker":' + stream.quoted(running.worker)
        if running.teardown is not None:
            text += ',"teardown":%de-6' % (running.teardown * 1e6)
        if running.subtests:
            text += ',"subtests":{"passed":%d}' % running.subtests
        text += ',"teardown_ok":true}' if running.teardown_ok else ',"teardown_ok":false}'
        if self._next_at_once() and running.call is not None and running.teardown is not None:
            stream.hold(text)  # a write costs more than to put the line together
        else:
            stream.line(text)

    def _next_at_once(self):
        """Whether another test starts now, before any code has run that could hang or die."""
        if self._ahead is None:
            hooks = [getattr(self._config.hook, name) for name in _BETWEEN]
            own = all(
                _module(each).startswith(_PYTESTS_OWN) for hook in hooks for each in hook.get_hookimpls()
            )
            self._ahead = len(self._session.items) if own and self._evidence is not None else 0
        self._ahead -= 1
        return self._ahead > 0

    @pytest.hookimpl(trylast=True)
    def pytest_report_teststatus(self, report):
        """The last word where `-p no:terminal` took pytest's own away: plugins rely on there being one."""
        return report.outcome if report.when == "call" or not report.passed else "", "", ""

    def _category(self, report):
        """pytest's word for the report, where plugins have a say: "rerun", "xfailed", "subtests passed", …"""
        try:
            return str(self._config.hook.pytest_report_teststatus(report=report, config=self._config)[0])
        except Exception:  # the terminal will stumble over the same
            return ""


def _module(implementation):
    return str(getattr(implementation.function, "__module__", ""))


def _interruption(excinfo):
    """What `pytest.exit` was told, or where the interrupt came."""
    message = getattr(excinfo.value, "msg", None)
    if isinstance(message, str):
        return message
    last = excinfo.traceback[-1]
    return "%s at %s:%d" % (excinfo.exconly(), last.path, last.lineno + 1)


def _plugins(config):
    found = set()
    for _, dist in config.pluginmanager.list_plugin_distinfo():
        try:
            name, version = _name_and_version(dist)
        except Exception:  # a distribution without readable metadata
            continue
        if name != _OURS:  # with us or without us, it is the same environment
            found.add("%s-%s" % (name, version))
    return sorted(found)


def _name_and_version(dist):
    """From the metadata's first lines: to have all of it parsed as a letter, twice, takes 2 ms a plugin."""
    told = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    head = dict(line.split(": ", 1) for line in told.split("\n\n", 1)[0].split("\n") if ": " in line)
    if "Name" in head and "Version" in head:
        return head["Name"].strip(), head["Version"].strip()
    return dist.project_name, dist.version


def _workers(config):
    if getattr(config.option, "dist", "no") == "no":
        return 0
    return len(getattr(config.option, "tx", None) or ()) or int(
        getattr(config.option, "numprocesses", None) or 0
    )


def _random_seed(config):
    """Of pytest-randomly, or of pytest-random-order where it is on."""
    option = config.option
    seed = getattr(option, "randomly_seed", None)
    if seed is None and hasattr(option, "random_order_seed"):
        # What the user did not set begins with "default:"; one of the three set turns the plugin on.
        texts = [
            str(getattr(option, name, "default:")) for name in ("random_order_bucket", "random_order_seed")
        ]
        if getattr(option, "random_order_enabled", False) or not all(
            text.startswith("default:") for text in texts
        ):
            seed = texts[1].split(":")[-1]
    return None if seed is None else clean(str(seed))[:100]


def _subtest(report):
    for name in ("sub_test_description", "_sub_test_description"):
        describe = getattr(report, name, None)
        if describe is not None:
            return cut(str(describe()), _PROPERTY_MOST)
    return cut(str(getattr(report, "head_line", "") or ""), _PROPERTY_MOST)


def _properties(pairs):
    """As texts; of a value of the project's own only the type is told."""
    texts = []
    for name, value in list(pairs)[:_PROPERTIES_MOST]:
        plain = isinstance(value, (str, int, float, bool, type(None)))
        texts.append(
            [cut(str(name), 200), cut(str(value) if plain else values.described(value), _PROPERTY_MOST)]
        )
    return texts
