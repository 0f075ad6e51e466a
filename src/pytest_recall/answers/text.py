"""Untrusted text made fit for an answer: printable, bounded, cut where it says so."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from pathlib import PurePath

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# C0 and C1 controls but newline and tab; marks that reorder what a reader sees.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


# How pytest's command line refuses: `ERROR: Wrong expression passed to '-k': …`, or argparse's `…: error: …`.
_REFUSAL = re.compile(r"^(?:ERROR: (?!usage: )|\S+: error: )(.+)$", re.MULTILINE)


def refusal(printed: str) -> str:
    """Why pytest refused its command line or configuration, from the end of what it *printed*; "" if it does not say."""
    return "\n".join(_REFUSAL.findall(clean(printed)))


def clean(text: str) -> str:
    """*text* without terminal codes, with invisible characters and lone surrogates escaped."""
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    text = _UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def head(text: str, most: int) -> str:
    """The first *most* characters of *text*, cleaned; `…` says that there was more."""
    text = clean(text[: most * 4]).strip()
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


_SHOWN = " Reproduce: "


def step(action: str, command: str, most: int) -> str:
    """*action*, at most *most* characters, with the *command* that shows the failure: whole, or where it stands whole."""
    whole = f"{action}{_SHOWN}{command}"
    if not command:
        whole = action
    elif len(clean(whole)) > most:
        whole = f"{action} The command that shows it is long: test_history(view='test', detail='full')."
    return head(whole, most)


def tail(text: str, most: int) -> str:
    """The last *most* characters of *text*, cleaned."""
    text = clean(text[-most * 4 :]).strip()
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def middle(text: str, most: int) -> str:
    """*text* cleaned, with its middle left out where it is longer than *most*: ids and paths keep both ends."""
    text = clean(text)
    if len(text) <= most:
        return text
    first = most * 2 // 5
    return f"{text[:first]}…{text[len(text) - (most - first - 1) :]}"


def first_ids(ids: Iterable[str], number: int, most: int = 300) -> list[str]:
    """The first *number* ids, each at most *most* characters."""
    return [middle(test_id, most) for test_id in islice(ids, number)]


@lru_cache(maxsize=1_024)
def short_path(path: str, root: str, most: int = 80) -> str:
    """*path* relative to *root* where it lies inside, with its middle left out where it is long."""
    with contextlib.suppress(ValueError):
        path = str(PurePath(path).relative_to(root))
    return middle(path, most)


def unnamed(message: str, exception: str) -> str:
    """*message* without the exception's name, which pytest puts before it and an answer's `error` says already."""
    for name in (exception, exception.rpartition(".")[2]):
        if name and message.startswith(f"{name}: "):
            return message[len(name) + 2 :]
    return message


_AT_A_SHELL = (
    (re.compile(r"confirm=(\d+)"), r"pytest-recall run --only failed --confirm \1"),
    (re.compile(r"test_history\(view='flaky', verify=(\d+)\)"), r"pytest-recall flaky --verify \1"),
    (re.compile(r"test_history\(view='test', detail='full'\)"), "pytest-recall history test --full"),
)


def at_a_shell(action: str) -> str:
    """What an agent is told to call, as the command that a person types; one that is there already stays as it is."""
    action, there, typed = action.partition(_SHOWN)
    for call, command in _AT_A_SHELL:
        action = call.sub(command, action)
    return action + there + typed
