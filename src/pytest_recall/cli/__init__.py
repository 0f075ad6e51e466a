"""The door for people: commands at a shell, tables on a terminal, `--json` for programs. Alone may print.

One module a family of commands, each with `add(commands)`. What is slow to import (mcp, rich, the use
cases) is imported by the command that needs it, inside its function.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence

from pytest_recall import __version__
from pytest_recall.cli import (
    committing,
    demonstrating,
    door,
    examining,
    handing,
    ingesting,
    installing,
    moving,
    noting,
    observing,
    remembering,
    reporting,
    running,
    serving,
    storing,
)
from pytest_recall.cli.door import Commands
from pytest_recall.errors import RecallError, Unprintable

FAMILIES = (
    serving,
    running,
    remembering,
    reporting,
    observing,
    noting,
    storing,
    moving,
    handing,
    ingesting,
    examining,
    installing,
    committing,
    demonstrating,
)

_GARBAGE = 100_000  # values that Python's collector of cycles waits for


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="pytest-recall", description="Runs a project's own pytest and remembers."
    )
    parser.add_argument("--version", action="version", version=f"pytest-recall {__version__}")
    commands = Commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    for family in FAMILIES:
        family.add(commands)
    options, rest = parser.parse_known_args(argv)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    if sys.stdout is None:  # else what is opened next would get its number, and whatever is printed
        closed = Unprintable(
            "stdout is closed: there is nowhere to answer. Send it to a file or to /dev/null."
        )
        return door.say_error(closed, as_json=False)
    if options.command == "serve":  # imports less than everything below
        return serving.serve(options)
    return _perform(options)


def _perform(options: argparse.Namespace) -> int:
    try:
        code = _done(options)
        with door.printing():  # what is left of it
            return code
    except Unprintable as error:
        return door.say_error(error, as_json=False)
    except BrokenPipeError:  # the reader has seen enough
        door.leave()
        return 0


def _done(options: argparse.Namespace) -> int:
    import anyio

    from pytest_recall.store import lacking

    # A look back makes 200,000 values that live to its end: not to be looked through again and again meanwhile.
    gc.set_threshold(_GARBAGE)
    try:
        return int(anyio.run(lacking.told(options.act), options))
    except RecallError as error:
        return door.say_error(error, as_json=options.json)
    except BaseExceptionGroup as group:  # from a task group: the one error of ours inside is the story
        if (ours := group.subgroup(RecallError)) is not None:
            return door.say_error(next(_leaves(ours)), as_json=options.json)
        if (left := group.subgroup(BrokenPipeError)) is None:
            raise
        raise BrokenPipeError from left
    except KeyboardInterrupt:
        return 130


def _leaves(group: BaseExceptionGroup[RecallError]) -> Iterator[RecallError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
