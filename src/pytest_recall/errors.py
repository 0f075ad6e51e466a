"""Every error of ours, in words that teach: what was wrong, what is valid, what to do next.

A failing *test* is a result and never one of these. A door (MCP, CLI) shows the text of a
`RecallError` to its reader as it stands, so no message may carry a secret or unbounded text.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def quoted(value: object) -> str:
    """*value* as a short, escaped, printable literal: safe to put into a message."""
    return _SHORT.repr(value)


def listed(values: Iterable[object], most: int = 8) -> str:
    """*values* as a short list for a message: `'a', 'b' and 3 more`, or `none`."""
    items = [quoted(value) for value in values]
    shown = ", ".join(items[:most])
    if len(items) > most:
        shown += f" and {len(items) - most} more"
    return shown or "none"


class RecallError(Exception):
    """Base of all errors that a caller may read; `exit_code` is what the CLI ends with."""

    exit_code = 4


class BadRequest(RecallError):
    """An argument is wrong; the message names it and the valid values."""


class UnknownProject(BadRequest):
    """The project folder does not exist or is no folder."""


class RootNotAllowed(BadRequest):
    """The folder lies outside the roots this server may work in."""


class UnknownTest(BadRequest):
    """A test id matches nothing; the message names the nearest existing ones."""


class NothingToRun(BadRequest):
    """Nothing is left of what was asked for: as with pytest, which collects nothing then."""

    exit_code = 5


class UnknownRun(BadRequest):
    """No run has that id."""


class BadCursor(BadRequest):
    """A page cursor that this server did not make."""


class BadSetting(BadRequest):
    """A setting has an unknown key or a wrong value; the message names where it came from."""


class Unimportable(BadRequest):
    """A file is no test report that we can read; the message says why."""


class Unprintable(RecallError):
    """stdout takes nothing: it is closed, or the disk behind it is full."""


class NoInterpreter(RecallError):
    """No usable Python was found for the project; the message lists what was tried."""


class NoPytest(RecallError):
    """The chosen interpreter cannot import pytest; the message tells how to mend that."""


class BadConfiguration(RecallError):
    """A client's configuration cannot be read or written; it was left as it was, and the message says why."""


class StoreUnavailable(RecallError):
    """The store is locked, slow or broken. The journal still has every run."""

    exit_code = 3


class NoRoom(RecallError):
    """The files of a run cannot be written; the message says where and why."""

    exit_code = 3


class UnreadableRun(RecallError):
    """A stored run is torn, foreign, or from a later version; the message says which."""

    exit_code = 3


class WithheldRun(UnreadableRun):
    """A stored run that the system does not let us read just now: nothing is known to be wrong with it."""


class UnreadableLore(RecallError):
    """A kept note or fix is torn, foreign, or from a later version; the message says which."""

    exit_code = 3
