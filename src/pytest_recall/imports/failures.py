"""The failures of one report: text of any tool made into `Failure` values that history can recognise again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from pytest_recall.history.fingerprint import fingerprint, first_line
from pytest_recall.imports import traces
from pytest_recall.imports.places import Places
from pytest_recall.model import Failure, Frame, Phase

_MOST_TEXT = 20_000
_MOST_SECTION = 8_000
_MOST_WEIGHT = 24 << 20  # characters that all failures of a report together may have
_SHORT = 1_000
_NAME = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?::|$)")
_ERROR = re.compile(
    r"(?:.*\.)?(?:[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Failed|Timeout|ExceptionGroup)|Failed|Exit)"
)
# What pytest 9.2 puts where it cuts the `message` attribute.
_CUT = re.compile(r"(?:\.\.\.)?\n\[(?:\+\d+ more lines?|truncated); full report in element text\]$")


class Failures:
    """Makes the failures of one report. *root* is where it was written: paths below it are the project's."""

    def __init__(self, places: Places, root: str = "") -> None:
        self._places = places
        self._root = root
        self._weight = 0

    def of_text(
        self,
        test: str,
        phase: Phase,
        *,
        message: str = "",
        text: str = "",
        kind: str = "",
        captured: Iterable[tuple[str, str]] = (),
        subtest: str = "",
    ) -> Failure:
        """A failure of which there is a *message*, a rendering *text*, a type's name (*kind*), or some of these."""
        trace = traces.read(text)
        cut = _CUT.search(message)
        if cut:
            message = message[: cut.start()]
            if trace.message.startswith(message[:200]):
                message = trace.message
        if trace.doctest:  # the attribute repeats the whole rendering
            message = trace.message
        message = message or trace.message or first_line(text)
        frames = tuple(map(self._frame, trace.places))
        exception = _exception(message, trace.exception or kind)
        return self._made(
            test,
            phase,
            exception=exception,
            message=message,
            frames=frames,
            text=text,
            captured=captured,
            subtest=subtest,
        )

    def of_places(
        self,
        test: str,
        phase: Phase,
        *,
        message: str,
        kind: str,
        places: Sequence[traces.Place],
        text: str,
        captured: Iterable[tuple[str, str]] = (),
        subtest: str = "",
    ) -> Failure:
        """A failure whose frames are told one by one."""
        frames = tuple(map(self._frame, places))
        return self._made(
            test,
            phase,
            exception=_exception(message, kind),
            message=message,
            frames=frames,
            text=text,
            captured=captured,
            subtest=subtest,
        )

    def _made(
        self,
        test: str,
        phase: Phase,
        *,
        exception: str,
        message: str,
        frames: tuple[Frame, ...],
        text: str,
        captured: Iterable[tuple[str, str]],
        subtest: str,
    ) -> Failure:
        path = test.partition("::")[0]
        if not frames and phase != "collect" and path.endswith(".py"):
            # A strict xpass, as the probe tells it, so that both are one failure; and pytest.fail without a
            # traceback, which the probe tells with the line that said so: no report does, and none is guessed.
            frames = (Frame(path=clean(path), line=0, project=True),)
            exception = exception or "Failed"
        heavy = self._weight > _MOST_WEIGHT
        message = clean(message[:_MOST_TEXT])[: _SHORT if heavy else _MOST_TEXT]
        sections = (
            ()
            if heavy
            else tuple(
                (clean(name[:200]), clean(tail[-_MOST_SECTION:])[-_MOST_SECTION:]) for name, tail in captured
            )
        )
        failure = Failure(
            phase=phase,
            exception=clean(exception[:300]),
            message=message,
            fingerprint=fingerprint(
                exception=exception[:300],
                message=message,
                frames=frames,
                root=self._root or str(self._places.root),
                test_id=test,
            ),
            frames=frames,
            text="" if heavy else _middle(clean(_middle(text))),
            captured=sections,
            subtest=clean(subtest[:_SHORT]),
        )
        self._weight += len(failure.message) + len(failure.text) + sum(len(tail) for _, tail in sections)
        return failure

    def _frame(self, place: traces.Place) -> Frame:
        path = self._places.relative(place.path, self._root)
        inside = not PurePath(path).is_absolute() and path[1:2] != ":" and not path.startswith(("<", "../"))
        return Frame(
            path=clean(path),
            line=place.line,
            function=clean(place.function[:300]),
            source=clean(place.source[:300]),
            project=inside and "-packages" not in path,
        )


def clean(text: str) -> str:
    """*text* without lone surrogates, as the probe writes it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _exception(message: str, kind: str) -> str:
    """The type's name, with its module where the message has it: `pkg.mod.Error: what`."""
    first = first_line(message)
    if kind.startswith("assert ") or (not kind and first.startswith("assert ")):
        return "AssertionError"
    named = _NAME.match(first)
    if named and (named[1].rpartition(".")[2] == kind if kind else _ERROR.fullmatch(named[1])):
        return named[1]
    return kind


def _middle(text: str) -> str:
    """Head and tail of *text*, as the probe cuts it."""
    if len(text) <= _MOST_TEXT:
        return text
    mark = f"\n... [{len(text) - _MOST_TEXT} characters cut] ...\n"
    keep = _MOST_TEXT - len(mark)
    head = keep * 2 // 3
    return text[:head] + mark + text[len(text) - (keep - head) :]
