"""What happened to each test and to the session, as pytest reports it to its own terminal."""

import os
import sys

import pytest
from _pytest.reports import TestReport

from recall_probe import values
from recall_probe.recording import unsecret
from recall_probe.stream import clean, cut, micro, node_id, seconds

_QUIET_S = 0.005  # a passed setup or teardown below this is folded into `finish`
_LONG_S = 1e9  # no test took longer, whatever its clock says
_WARNINGS_MOST, _WARNING_MOST = 500, 2000
_PROPERTIES_MOST, _PROPERTY_MOST = 50, 1000
_SUBTEST_TYPES = ("SubTestReport", "SubtestReport")
_PHASES = ("setup", "call", "teardown")
# Whose word on a plain report is known: "passed", but where a test has subtests, or "skipped".
_OWN_WORDS = (
    "_pytest.",
    "recall_probe.",
    "xdist.",
    "pytest_rerunfailures",
    "pytest_jsonreport.",
    "pytest_asyncio.",
)
# Whose code may run between the end of a test and the start of the next, where both are told at once.
_BETWEEN = ("pytest_runtest_protocol", "pytest_runtest_logstart", "pytest_runtest_logfinish")
_PYTESTS_OWN = ("_pytest.", "recall_probe.", "xdist.", "pytest_jsonreport.")
_OURS = "pytest-recall-plugin"


class Running:
    """What is folded into a test's `finish`: seconds of phases that passed."""

    setup = call = teardown = worker = None
    torn_down = teardown_ok = False  # whether a teardown was reported, and passed
    subtests = None  # how many passed, where there were any


class Reporting:
    """In the process that owns the stream."""

    def __init__(self, config, stream, describer, json_report, notes):
        self._config, self._stream, self._describer = config, stream, describer
        self._json_report, self._notes = json_report, notes
        self._evidence, self._raised = None, {}  # of the tests that run in this process
        self._plain = False  # whether the word on a plain report is known
        self._passed = []  # such reports, until something else is told or their test has ended
        self._running = {}
        self._alone = False  # nothing but pytest's own code lies between two tests
        self._last = None  # the test that started last, where that is so
        self._warnings = {}
        self._more_warnings = 0

    def runs_here(self, evidence):
        """The tests run in this process, where *evidence* sees them."""
        self._evidence, self._raised = evidence, evidence.raised

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
        if not self._stream.ours():  # a test forked, and its child came back into pytest
            self._json_report.stop(self._config)
        self._settle()
        for nodeid, running in list(self._running.items()):
            if (
                running.teardown_ok
            ):  # a plugin has run it in its own way, in another process perhaps, and reported all
                self.ended(nodeid)
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

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtestloop(self, session):
        """Inside of all others: what they do after the last test may be the end of us."""
        hook, loop = self._config.hook, self._config.hook.pytest_runtestloop.get_hookimpls()
        between = [each for name in _BETWEEN for each in getattr(hook, name).get_hookimpls()]
        between += [each for each in loop if not each.hookwrapper and not getattr(each, "wrapper", False)]
        self._alone = self._evidence is not None and _from(_PYTESTS_OWN, between)
        if not self._alone:
            self._config.pluginmanager.register(Ends(self), "recall-ends")
        if _from(_OWN_WORDS, hook.pytest_report_teststatus.get_hookimpls()):
            self._plain = True
        yield
        last, self._last = self._last, None
        if last is not None:
            self._settle()
            if getattr(self._running.get(last), "torn_down", False):  # else it was broken off
                self.ended(last)

    def before(self, nodeid):
        """What the fact that *nodeid* starts has to say of the test before it, where that has just ended."""
        if not self._alone:
            return ""
        last, self._last = self._last, nodeid
        if last is None:
            return ""
        text = ""
        try:
            text = self._green(last)
        except Exception:  # a report of a foreign kind
            pass
        if not text:
            self._stream.hold(self._finish(last))
        return text

    def _green(self, nodeid):
        """That each phase of *nodeid* passed, and there is nothing more to tell; "" where that is not so."""
        if not self._plain or len(self._passed) != 3 or self._running:
            return ""
        setup, call, teardown = self._passed
        if (setup.when, call.when, teardown.when) != _PHASES or "wasxfail" in call.__dict__:
            return ""
        if (
            not setup.outcome == call.outcome == teardown.outcome == "passed"
        ):  # another hook has changed its mind
            return ""
        first, second, third = setup.duration, call.duration, teardown.duration
        if not (0.0 <= first < _QUIET_S and 0.0 <= third < _QUIET_S and 0.0 <= second < _LONG_S):
            return ""
        if teardown.user_properties:
            return ""
        text = ',"was":[%s,%d,%d,%d]' % (self._stream.id(nodeid), first * 1e6, second * 1e6, third * 1e6)
        self._passed.clear()
        return text

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        """Before all others, one of which may raise. What passed is looked at when they have had their say.

        pytest 9 changes the outcome of a test whose subtests failed while it is reported.
        """
        if type(report) is TestReport and report.outcome == "passed" and not self._raised:
            self._passed.append(report)
            return
        self._settle()
        if self._raised:
            self._evidence.told(report)
        self._understood(report)

    def _settle(self):
        """Look at the reports that passed."""
        passed, self._passed = self._passed, []
        for report in passed:
            self._understood(report)

    def _understood(self, report):
        try:
            self._report(report)
        except Exception as error:  # a report of a foreign kind
            self._stream.fact(
                "note",
                id=str(getattr(report, "nodeid", "")),
                text="a report was not understood: %r" % (error,),
            )

    def _report(self, report):
        nodeid = report.nodeid  # pytest 9.2 puts it together anew for each that asks
        running = self._running.get(nodeid)
        if running is None:
            running = self._running[nodeid] = Running()
        when, kind = report.when, type(report)
        plain = kind is TestReport or kind.__name__ not in _SUBTEST_TYPES
        running.torn_down = running.torn_down or when == "teardown"
        if report.outcome == "skipped" and plain and not self._asked(report, running):
            self._skipped(report, when, running)
        elif report.outcome != "passed":
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
        """Whether what passed or was skipped may be called by another name: xpassed, xfailed, or failed for its subtests."""
        return not self._plain or running.subtests is not None or hasattr(report, "wasxfail")

    def _skipped(self, report, when, running):
        """What `_phase` would tell, at less than half of its price: some suites skip thousands."""
        if when not in ("setup", "call") or running.call is not None or hasattr(report, "worker_id"):
            self._phase(report, True, "skipped", running)
            return
        stream, reason = self._stream, self._describer.reason(report.longrepr)
        stream.line(
            '{"e":"phase","t":%s,"id":%s,"when":"%s","outcome":"skipped","dur":%de-6,"reason":%s}'
            % (stream.stamp(), stream.id(report.nodeid), when, micro(report.duration), stream.quoted(reason))
        )

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

    def ended(self, nodeid):
        """The test *nodeid* has ended, and any code may run before the next."""
        self._stream.line(self._finish(nodeid))

    def _finish(self, nodeid):
        """The test's last fact, when all others are told."""
        stream = self._stream
        self._settle()
        if self._raised:
            self._evidence.finished(nodeid)
        running = self._running.pop(nodeid, None) or Running()
        text = '{"e":"finish","t":%s,"id":%s' % (stream.stamp(), stream.id(nodeid))
        if running.setup is not None:
            text += ',"setup":%de-6' % micro(running.setup)
        if running.call is not None:
            text += ',"call":%de-6' % micro(running.call)
            if running.worker:
                text += ',"worker":' + stream.quoted(running.worker)
        if running.teardown is not None:
            text += ',"teardown":%de-6' % micro(running.teardown)
        if running.subtests:
            text += ',"subtests":{"passed":%d}' % running.subtests
        return text + (',"teardown_ok":true}' if running.teardown_ok else ',"teardown_ok":false}')

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


class Ends:
    """Where a test's end is told at once."""

    def __init__(self, reporting):
        self._reporting = reporting

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid):
        self._reporting.ended(nodeid)


def _from(modules, implementations):
    """Whether these hooks are all of *modules*, told by how their names begin."""
    return all(str(getattr(each.function, "__module__", "")).startswith(modules) for each in implementations)


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
    """As texts, without secrets; of a value of the project's own only the type is told."""
    texts = []
    for name, value in list(pairs)[:_PROPERTIES_MOST]:
        plain = isinstance(value, (str, int, float, bool, type(None)))
        text = cut(str(value) if plain else values.described(value), _PROPERTY_MOST)
        texts.append(unsecret(cut(str(name), 200), text))
    return texts
