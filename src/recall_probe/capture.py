"""A plain pytest session, kept: its facts go into one file in the inbox of the project's memory.

    <store>/inbox/<run id>.jsonl    the facts of `recall_probe`, and these before and among them

    capture     format 2, id, pid, began? (of that process, by the system's own count), host, root, python,
                os, arch, installed [names of *-info folders], request {tests, keyword, markers, args,
                max_failures, parallel}, environ {name: value} (what CI systems say of a job), space?
    startup     type, path, message, cause: a conftest could not be loaded, and there is no session
    revision    digest?, commit?, branch?, dirty?

The file grows while the session goes on; `end` is its last line. Where the process dies before that, the
file stays as it is, and whoever takes it in finds that nobody writes it any more. Nothing in here may
disturb the session: what goes wrong is one line at its end.
"""

import os
import sys
import time

import pytest

from recall_probe import places, revision
from recall_probe.collecting import Collecting
from recall_probe.evidence import Evidence, WorkersEvidence
from recall_probe.failure import Describer
from recall_probe.jsonreport import JsonReport
from recall_probe.measuring import Measuring
from recall_probe.reporting import Reporting
from recall_probe.session import Distributed, distributes, root_of
from recall_probe.stream import Stream, clean, cut

SUFFIX = ".jsonl"
_IN_WORKER = "recall_file"  # where an xdist worker is told of it
# Of a job in CI, and nothing else of the environment: none of these holds a secret.
ENVIRON = (
    "AGENT_JOBNAME APPVEYOR APPVEYOR_ACCOUNT_NAME APPVEYOR_BUILD_ID APPVEYOR_JOB_NAME APPVEYOR_PROJECT_SLUG"
    " APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH APPVEYOR_REPO_BRANCH APPVEYOR_REPO_COMMIT APPVEYOR_URL"
    " BITBUCKET_BRANCH BITBUCKET_BUILD_NUMBER BITBUCKET_COMMIT BITBUCKET_GIT_HTTP_ORIGIN BITBUCKET_REPO_SLUG"
    " BITBUCKET_TAG BRANCH_NAME BUILDKITE BUILDKITE_BRANCH BUILDKITE_BUILD_NUMBER BUILDKITE_BUILD_URL"
    " BUILDKITE_COMMIT BUILDKITE_JOB_ID BUILDKITE_LABEL BUILDKITE_PIPELINE_SLUG BUILD_BUILDID"
    " BUILD_DEFINITIONNAME BUILD_NUMBER BUILD_SOURCEBRANCH BUILD_SOURCEBRANCHNAME BUILD_SOURCEVERSION BUILD_URL"
    " BUILD_VCS_NUMBER CHANGE_BRANCH CI CIRCLECI CIRCLE_BRANCH CIRCLE_BUILD_NUM CIRCLE_BUILD_URL CIRCLE_JOB"
    " CIRCLE_SHA1 CIRCLE_TAG CIRCLE_WORKFLOW_ID CIRRUS_BRANCH CIRRUS_BUILD_ID CIRRUS_CHANGE_IN_REPO CIRRUS_CI"
    " CIRRUS_TASK_ID CIRRUS_TASK_NAME CI_COMMIT_REF_NAME CI_COMMIT_SHA CI_JOB_NAME CI_JOB_URL"
    " CI_MERGE_REQUEST_SOURCE_BRANCH_NAME CI_PIPELINE_ID CI_PIPELINE_URL CONTINUOUS_INTEGRATION DRONE"
    " DRONE_BRANCH DRONE_BUILD_LINK DRONE_BUILD_NUMBER DRONE_COMMIT_SHA DRONE_SOURCE_BRANCH DRONE_STAGE_NAME"
    " DRONE_STEP_NAME FORGEJO_ACTIONS GITEA_ACTIONS GITHUB_ACTIONS GITHUB_HEAD_REF GITHUB_JOB GITHUB_REF_NAME"
    " GITHUB_REPOSITORY GITHUB_RUN_ATTEMPT GITHUB_RUN_ID GITHUB_RUN_NUMBER GITHUB_SERVER_URL GITHUB_SHA"
    " GITHUB_WORKFLOW GITLAB_CI GIT_BRANCH GIT_COMMIT JENKINS_URL JOB_NAME SEMAPHORE SEMAPHORE_GIT_BRANCH"
    " SEMAPHORE_GIT_SHA SEMAPHORE_GIT_WORKING_BRANCH SEMAPHORE_JOB_ID SEMAPHORE_JOB_NAME"
    " SEMAPHORE_ORGANIZATION_URL SEMAPHORE_WORKFLOW_ID STAGE_NAME SYSTEM_COLLECTIONURI SYSTEM_JOBNAME"
    " SYSTEM_PULLREQUEST_SOURCEBRANCH SYSTEM_TEAMPROJECT TEAMCITY_BUILDCONF_NAME TEAMCITY_BUILD_BRANCH"
    " TEAMCITY_PROJECT_NAME TEAMCITY_VERSION TF_BUILD TRAVIS TRAVIS_BRANCH TRAVIS_BUILD_ID TRAVIS_BUILD_WEB_URL"
    " TRAVIS_COMMIT TRAVIS_JOB_NAME TRAVIS_JOB_WEB_URL TRAVIS_PULL_REQUEST_BRANCH"
).split()
_VALUE_MOST, _ARGS_MOST, _INSTALLED_MOST = 1000, 200, 5000
_NO_RUN = (
    "collectonly help version showfixtures show_fixtures_per_test markers setuponly setupplan cacheshow"
).split()
_SPACES = ("local", "ci", "agent")
_USAGE_ERROR = 4


class Capture:
    """Of one pytest process: the one whose session is kept, or an xdist worker of it."""

    def __init__(self, trouble=""):
        """*trouble*: why nothing is kept, which is told all the same."""
        self._file = self._stream = self._asked = self._initial = None
        self._started = self._ran = self._told = self._said = False
        self._trouble = cut(trouble, 300)

    # --- what the plugin calls --------------------------------------------------------------

    def prepare(self, early_config):
        self._initial = early_config

    def configure(self, config):
        """Register what this process has to say. Never raises."""
        worker = getattr(config, "workerinput", None)
        try:
            if worker is not None and _IN_WORKER in worker:
                self._file = worker[_IN_WORKER]
                self._stream = Stream(self._file)
                self._register(config, self._parts(config, worker["workerid"]))
            elif worker is None and self._wanted(config):
                config.pluginmanager.register(self, "recall-capture")
                if self._trouble:
                    return
                self._open(config)
                self._register(config, self._all_parts(config))
        except Exception as error:
            self._give_up(error)

    def not_started(self, error):
        """A conftest that could not be loaded; what pytest calls wrong usage is nothing to remember."""
        path = getattr(error, "path", None)
        if self._started or self._trouble or path is None or self._initial is None:
            return
        try:
            if self._wanted(self._initial):
                self._open(self._initial)
                inner = getattr(error, "cause", None) or (getattr(error, "excinfo", None) or (None, None))[1]
                cause = "%s: %s" % (type(inner).__name__, inner) if inner is not None else None
                self._stream.fact(
                    "startup",
                    type=type(error).__name__,
                    path=cut(str(path), 2000),
                    message=cut(str(error), 2000),
                    cause=cut(cause, 2000) if cause else None,
                )
                self._stream.fact("revision", **self._asked.answer())
                self._stream.fact("end")
        except Exception:  # pytest says what is wrong with the conftest
            pass

    # --- hooks ------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionstart(self):
        outcome = yield
        wrong = outcome.excinfo is not None and isinstance(outcome.excinfo[1], pytest.UsageError)
        self._started = not wrong

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        if self._file and not self._trouble:
            node.workerinput[_IN_WORKER] = self._file

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self):
        """Around all others: after xdist's own none is asked."""
        self._ran = True
        self._tell_revision()
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self):
        self._ran = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self):
        self._ran = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus):
        if exitstatus == _USAGE_ERROR or not self._ran:  # as where a plugin only shows what it has collected
            self._started = False
        self._tell_revision()

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter):
        self._say(terminalreporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self, config):
        if self._asked is not None:
            self._asked.forget()
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and not getattr(reporter, "no_summary", False):
            self._say(reporter)  # of an exit code that pytest makes no summary for
        if not self._started and self._file:  # wrong usage, or a plugin that ran no tests
            try:
                os.unlink(self._file)
            except OSError:
                pass

    # --- inside -----------------------------------------------------------------------------

    def _say(self, terminalreporter):
        """The one line."""
        if self._said or not (self._started or self._trouble):
            return
        self._said = True
        lost = self._stream.lost if self._stream is not None else 0
        if lost and not self._trouble:
            self._trouble = "%d facts could not be written: is the disk full?" % lost
        try:
            if not self._trouble and not os.path.exists(self._file):
                self._trouble = "%s was taken away while the tests ran" % self._file
            if self._trouble:
                terminalreporter.write_line("pytest-recall: this run is not kept whole: " + self._trouble)
            else:
                shown = os.path.relpath(self._file)
                shown = self._file if shown.startswith("..") else shown
                terminalreporter.write_line("pytest-recall: this run is kept in " + shown)
        except Exception:
            pass

    def _wanted(self, config):
        """Whether tests will be run, and not by a pytest that one of xdist's workers has started."""
        if "PYTEST_XDIST_WORKER" in os.environ:
            return False
        return not any(getattr(config.option, name, False) for name in _NO_RUN)

    def _open(self, config):
        root = str(root_of(config))
        if os.path.dirname(root) == root or root == os.path.expanduser("~"):
            raise places.NoPlace("%s is no project's folder" % root)
        folder = places.inbox(root)
        self._asked = revision.Asked(root)
        identity = _new_id()
        self._file = os.path.join(folder, identity + SUFFIX)
        self._stream = Stream(self._file)
        space = places.setting(root, "space")
        self._stream.fact(
            "capture",
            format=2,
            id=identity,
            pid=os.getpid(),
            began=_began(),
            host=_uname(1),
            root=root,
            python=sys.executable,
            version=list(sys.version_info[:3]),
            os=_uname(0),
            arch=_uname(4),
            installed=_installed(),
            request=_request(config, root),
            environ={name: clean(os.environ[name][:_VALUE_MOST]) for name in ENVIRON if os.environ.get(name)},
            space=space if space in _SPACES else None,
        )

    def _all_parts(self, config):
        describer = Describer(root_of(config), self._stream.max_text, False)
        if distributes(config.option):
            yield Reporting(config, self._stream, describer, _NO_REPORT, [])
            yield Distributed(config, self._stream, _NO_REPORT, lend=False)
        else:
            yield Collecting(self._stream, describer, _NO_REPORT, None, "ids", True)
            measuring = Measuring(self._file, self._stream, installed=True)
            yield measuring
            reporting = Reporting(config, self._stream, describer, _NO_REPORT, [])
            yield Evidence(self._stream, describer, measuring, None, reporting)
            yield reporting

    def _parts(self, config, worker):
        describer = Describer(root_of(config), self._stream.max_text, False)
        tells = worker == "gw0"
        yield Collecting(self._stream, describer, _NO_REPORT, worker, "ids" if tells else "none", tells)
        measuring = Measuring(self._file, self._stream, worker, installed=True)
        yield measuring
        yield WorkersEvidence(self._stream, describer, measuring, worker)

    @staticmethod
    def _register(config, parts):
        for part in parts:
            config.pluginmanager.register(part, "recall-" + type(part).__name__.lower())

    def _tell_revision(self):
        if self._told or self._asked is None:
            return
        self._told = True
        try:
            self._stream.fact("revision", **self._asked.answer())
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error):
        known = isinstance(error, places.NoPlace)
        self._trouble = cut(str(error) if known else "%s: %s" % (type(error).__name__, error), 300)


_NO_REPORT = JsonReport(None, None, 0)


def _new_id():
    """A UUID of version 7: sorts by time."""
    stamp = int(time.time() * 4096000)
    text = "%012x7%03x%016x" % (
        stamp >> 12 & (1 << 48) - 1,
        stamp & 0xFFF,
        int.from_bytes(os.urandom(8), "big") >> 2 | 1 << 63,
    )
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _uname(part):
    """A part of what the system calls itself; `platform` takes longer to import than all else here."""
    if hasattr(os, "uname"):
        return os.uname()[part]
    import platform

    return platform.uname()[part]


def _began():
    """When this process began, by the system's own count: with the pid, what no other process has."""
    try:
        with open("/proc/self/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _installed():
    """The names of the folders in which installers note what is installed beside pytest."""
    base = os.path.join(sys.prefix, "lib")
    folders = [os.path.join(sys.prefix, "Lib", "site-packages")]
    for python in _listed(base):
        if python.startswith("python3"):
            inside = os.path.join(base, python)
            folders += [os.path.join(inside, name) for name in _listed(inside) if name.endswith("-packages")]
    return [name for folder in folders for name in _listed(folder) if name.endswith("-info")][
        :_INSTALLED_MOST
    ]


def _listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _request(config, root):
    """What was selected, in the words of pytest-recall's own requests: equal ones are comparable runs."""
    option = config.option
    here = str(config.invocation_params.dir)
    tests = [_relative(arg, here, root) for arg in (getattr(option, "file_or_dir", None) or [])]
    args = [
        "--%s" % name
        for name, dest in (("lf", "lf"), ("ff", "failedfirst"), ("nf", "newfirst"), ("sw", "stepwise"))
        if getattr(option, dest, False)
    ]
    for name, dest in (("deselect", "deselect"), ("ignore", "ignore"), ("ignore-glob", "ignore_glob")):
        args += ["--%s=%s" % (name, value) for value in (getattr(option, dest, None) or [])]
    found = {
        "tests": [clean(test)[:4000] for test in tests if test != "."][:_ARGS_MOST],
        "keyword": clean(str(getattr(option, "keyword", "") or ""))[:_VALUE_MOST],
        "markers": clean(str(getattr(option, "markexpr", "") or ""))[:_VALUE_MOST],
        "args": [clean(arg)[:_VALUE_MOST] for arg in args][:_ARGS_MOST],
        "max_failures": getattr(option, "maxfail", 0) or 0,
    }
    return {name: value for name, value in found.items() if value}


def _relative(arg, here, root):
    """*arg* as it would be given in the root."""
    path, mark, rest = str(arg).partition("::")
    if here == root and not os.path.isabs(path):
        return str(arg)
    whole = os.path.join(here, path)
    return (
        (os.path.relpath(whole, root).replace(os.sep, "/") if os.path.exists(whole) else path) + mark + rest
    )
