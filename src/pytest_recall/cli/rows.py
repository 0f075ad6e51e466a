"""Rows under names: a table where the terminal is wide enough, else each row on lines of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_APART = 2  # columns between two cells, as rich has it
_LEAST = 16  # columns that words need, to be read in a column
_INDENT = 2


class Rows:
    """One column for each name; those that end in `!` are never broken: half an id or a date is none."""

    def __init__(self, *names: str) -> None:
        self._names = [name.removesuffix("!") for name in names]
        self._whole = [name.endswith("!") for name in names]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """A cell for each name."""
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least() <= options.max_width:
            yield self._table()
            return
        for row in ([Text(name, style="dim") for name in self._names], *self._rows):
            yield from _packed(row, options.max_width)

    def _least(self) -> int:
        """How many columns a table needs that can be read."""
        rows = [[Text(name) for name in self._names], *self._rows]
        widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
        least = (
            width if whole else min(width, _LEAST) for width, whole in zip(widths, self._whole, strict=True)
        )
        return sum(least) + _APART * (len(widths) - 1)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name, whole in zip(self._names, self._whole, strict=True):
            table.add_column(name, overflow="fold", no_wrap=whole)
        for row in self._rows:
            table.add_row(*row)
        return table


def _width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split("\n")), default=0)


def _packed(cells: Iterable[Text], width: int) -> Iterator[Text]:
    """*cells* on as few lines as hold them, broken between cells, then between words; a word is left to the terminal."""
    line = Text()
    for piece in (piece for cell in cells for piece in _pieces(cell, width - _INDENT)):
        if line and line.cell_len + _APART + piece.cell_len > width:
            yield line
            line = Text(" " * _INDENT) + piece
        else:
            line = line + " " * _APART + piece if line else piece
    yield line


def _pieces(cell: Text, width: int) -> Iterator[Text]:
    for line in cell.plain.splitlines():
        for piece in textwrap.wrap(line, max(width, 1), break_long_words=False, break_on_hyphens=False):
            yield Text(piece, style=cell.style)
