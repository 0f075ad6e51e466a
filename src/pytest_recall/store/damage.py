"""What is missing from the answers of a store, in words for a reader, with what is to be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_recall.errors import UnreadableRun, listed
from pytest_recall.store import codec
from pytest_recall.store.journal import Journal


def told(journal: Journal, torn: Mapping[str, UnreadableRun], unread: int) -> Iterator[str]:
    """Of *torn* files of the journal, of so many *unread* rows of the index, and of what has been lost before."""
    if journal.renewed:
        yield (
            f"{journal.folder.name}/ was removed while this server was running (as `git clean -fdx` does), and all runs with "
            "it: it was made anew, and knows what came since."
        )
    later = [name for name, error in torn.items() if isinstance(error, codec.FromLater)]
    damaged = [name for name in torn if name not in later]
    if damaged:
        why = str(torn[damaged[0]]).removeprefix(f"{damaged[0]}.run ").rstrip(".")
        yield (
            f"{len(damaged)} run(s) cannot be read: {damaged[0]}, for one: {why:.100}. "
            "`pytest-recall store verify` names all that is damaged."
        )
    if ahead := journal.ahead():
        yield (
            f"{len(ahead)} run(s) are left out until their time has come: {listed(ahead, 2)} lie more than a day ahead of "
            f"this machine's clock. If the clock is right, remove them from {journal.folder.name}/."
        )
    if later:
        yield (
            f"{len(later)} run(s) were written by a later version of pytest-recall and are missing here: {listed(later, 2)}. "
            "Update this one."
        )
    if unread:
        yield (
            f"{unread} row(s) of the index cannot be read and are missing here. `pytest-recall store verify` names them, "
            "`pytest-recall store rebuild` makes them anew."
        )
    if aside := journal.aside():
        yield (
            f"{len(aside)} run(s) could not be read and were set aside in {journal.folder.name}/broken: "
            f"{listed(aside, 2)}. Remove them there to end this warning."
        )
    if lost := journal.lost():
        yield (
            f"{lost} run(s) are missing: the index had them, and when it was made anew they could not be read. "
            "`pytest-recall store rebuild` looks for them once more, in chroma.old, and ends this warning."
        )
