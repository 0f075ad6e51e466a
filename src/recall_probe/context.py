"""What a test tells of itself while it runs: `from recall_probe import context`, or the fixture `recall`.

    context.metadata(region="eu", build=7)
    context.validation("status", passed=got == 200, expected=200, got=got)
    context.agent_log("asked twice", level="warning")
    context.llm_interaction(prompt, response, provider="…", model="…", token_usage={"total": 31}, tool_calls=[…])
    with context.step("log in"):            # steps nest; what is told inside one belongs to it
        …
    context.test()                          # the node id of the test that runs here, "" outside of one

It works in threads, async tasks and subprocesses of a test alike, and in fixtures of every scope: what a wider one
tells holds for all tests in its scope. Where nobody listens each call does nothing, and no call that Python
accepts ever raises, whatever values it is given.
"""

import os
import sys
import threading

from recall_probe.recording import ADDRESS, LIVE, Recorder

__all__ = ["agent_log", "llm_interaction", "metadata", "step", "test", "validation"]

_children = {}  # in a process that a test started: its own recorder
_lock = threading.Lock()


def llm_interaction(prompt="", response="", provider="", model="", token_usage=None, tool_calls=None, **more):
    """One question to a language model, and what came back."""
    told = {"prompt": prompt, "response": response, "provider": provider, "model": model}
    told.update(token_usage=token_usage, tool_calls=tool_calls)
    # Not compared: a value of the project's own may have its own idea of equality.
    told = {
        name: value
        for name, value in told.items()
        if not (value is None or (type(value) is str and not value))
    }
    _say("llm_interaction", "", told, more)


def agent_log(message, level="info", **more):
    """A line of an agent's own log."""
    _say("agent_log", level, {"message": message}, more)


def validation(name, passed=None, **more):
    """Something that was checked, and whether it held."""
    _say("validation", name, {} if passed is None else {"passed": passed}, more)


def metadata(**fields):
    """Values that describe the test, or its environment."""
    _say("metadata", "", fields, {})


class step:
    """A part of a test: what is told inside belongs to it. Also for `async with`."""

    __slots__ = ("_name", "_token")

    def __init__(self, name):
        self._name, self._token = name, None

    def __enter__(self):
        recorder = _recorder()
        if recorder is not None:
            self._token = recorder.begin(self._name)
        return self

    def __exit__(self, kind, error, trace):
        token, self._token = self._token, None
        if token is not None:
            token[0].finish(token, kind)

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, kind, error, trace):
        self.__exit__(kind, error, trace)


def test():
    """The node id of the test that runs here; "" outside of one."""
    live = sys.modules.get(LIVE)
    if live is not None and live.recorder is not None:
        return live.recorder.test()
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


test.__test__ = False  # for those who import it by name


def _say(kind, name, told, more):
    recorder = _recorder()
    if recorder is not None:
        recorder.say(kind, name, told, more)


def _recorder():
    """Of the session that this process runs, or of the one whose test started this process.

    None where nobody listens: as to a session within a test.
    """
    live = sys.modules.get(LIVE)
    if live is not None:
        return live.recorder
    address = os.environ.get(ADDRESS)
    if not address or "PYTEST_CURRENT_TEST" not in os.environ:
        return None
    with _lock:
        if address not in _children:
            try:
                _children[address] = Recorder(address)
            except Exception:  # the session is over, and its file gone
                _children[address] = None
        return _children[address]
