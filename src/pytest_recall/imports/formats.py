"""Which format a document has, by its content; and the runs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from io import BytesIO
from typing import Any

from pytest_recall.errors import Unimportable, listed, quoted
from pytest_recall.imports import ctrf, jsonreport, junit, lines, reportlog
from pytest_recall.imports.bounded import json_value, xml_tree
from pytest_recall.imports.places import Places
from pytest_recall.imports.report import Origin, Report, apart, run
from pytest_recall.model import Revision, Run

FORMATS = ("junit", "json-report", "reportlog", "ctrf", "jsonl", "capture")

_SNIFFED = 64 << 10
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")  # byte order, which text of any format may begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a document holds: whole runs, and in words what could not be read of it."""

    runs: tuple[Run, ...]
    broken: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()  # that these runs were made of, one each; our own JSON lines need none

    @property
    def part(self) -> Report | None:
        """The report of the only run, where that may be a part of a larger one."""
        return self.reports[0] if len(self.reports) == 1 and self.reports[0].foreign else None


def sniff(data: bytes) -> str:
    """What *data* seems to be: "xml", "json", "reportlog", "jsonl", "capture", or "" for none of these."""
    head = _head(data)
    if head.startswith(b"<"):
        return "xml"
    first = head.partition(b"\n")[0]
    if lines.recognises(first):
        return "jsonl"
    if first.startswith(b'{"e":"capture"'):  # a session that the plugin captured; read by `running.captured`
        return "capture"
    if reportlog.recognises(head) and first.startswith(b"{"):
        return "reportlog"
    return "json" if head.startswith(b"{") else ""


def likely(data: bytes) -> bool:
    """Whether *data* begins like a report, and not like some other XML or JSON that lies beside one."""
    head = _head(data)
    match sniff(data):
        case "xml":
            return b"<testsuite" in head
        case "json":
            return any(all(mark in head for mark in marks) for marks in _LIKELY)
        case kind:
            return bool(kind)


_LIKELY = ((b'"reportFormat"',), (b'"results"', b'"tool"'), (b'"exitcode"', b'"summary"'))


def _head(data: bytes) -> bytes:
    head = data[:_SNIFFED]
    for mark in _MARKS:
        head = head.removeprefix(mark)
    return head.replace(b"\0", b"").lstrip()  # UTF-16 of what is ASCII


def read(
    data: bytes, origin: Origin, *, at: float, places: Places, load: lines.Load[Any], wanted: str = ""
) -> Found:
    """The runs in *data*, which was written *at* that time, where it does not tell another.

    *wanted* names its format where the content shall not decide.

    Raises:
        Unimportable: it is none of the formats, or broken; the message says which and why.
    """
    kind = sniff(data)
    if wanted:
        kind = {"junit": "xml", "ctrf": "json", "json-report": "json"}.get(wanted, wanted)
    if kind == "jsonl":
        return _own(lines.read(BytesIO(data), load))
    reports = _reports(kind, wanted, data, places)
    origin = replace(origin, at=at)
    contents = [data]
    if len(reports) > 1:  # the content of one run: its document, and which of the runs in it
        whole = blake2b(data).digest()
        contents = [b"%d %b" % (number, whole) for number in range(len(reports))]
    contents = [report.content or content for report, content in zip(reports, contents, strict=True)]
    runs = [
        run(report, _told(origin, report), content) for report, content in zip(reports, contents, strict=True)
    ]
    placed = zip(runs, _places(reports), strict=True)
    return Found(
        runs=tuple(apart(one, place) if place else one for one, place in placed), reports=tuple(reports)
    )


def _places(reports: Sequence[Report]) -> list[str]:
    """Where each run of one document was: nothing says that it is a rerun of another one, and none of a matrix.

    Ours say it.
    """
    total = len(reports)
    hosts = {report.place for report in reports}
    distinct = len(hosts) == total and "" not in hosts
    numbers = [f"{number} of {total}" if total > 1 else "" for number in range(1, total + 1)]
    return [
        report.place if (report.run and report.place) or (distinct and total > 1) else number
        for report, number in zip(reports, numbers, strict=True)
    ]


def _reports(kind: str, wanted: str, data: bytes, places: Places) -> list[Report]:
    if kind == "xml":
        return junit.read(xml_tree(data), places)
    if kind == "reportlog":
        return reportlog.read(BytesIO(data), places)
    if kind != "json":
        raise Unimportable(f"No test report: neither XML nor JSON. Formats: {listed(FORMATS)}.")
    value = json_value(data)
    if not isinstance(value, dict):
        raise Unimportable("JSON, but no object.")
    readers: dict[str, tuple[Callable[[Any], bool], Callable[[Any, Places], list[Report]]]] = {
        "ctrf": (ctrf.recognises, ctrf.read),
        "json-report": (jsonreport.recognises, jsonreport.read),
    }
    for name, (recognises, reader) in readers.items():
        if name == wanted or (not wanted and recognises(value)):
            return reader(value, places)
    raise Unimportable(f"JSON, but no report that is known: it has {listed(list(value)[:5])}.")


def _told(origin: Origin, report: Report) -> Origin:
    """*origin*, with what the report itself says of its revision where nobody else did."""
    if origin.revision.commit or origin.revision.digest or not report.commit:
        return origin
    from pytest_recall.imports.revisions import of_commit  # noqa: PLC0415

    named = of_commit(report.commit, report.branch)
    return replace(origin, revision=named or Revision(digest="", branch=report.branch))


def _own(found: Iterator[Run | str]) -> Found:
    runs: list[Run] = []
    broken: list[str] = []
    for one in found:
        if isinstance(one, Run):
            runs.append(one)
        elif len(broken) < 20:  # noqa: PLR2004 - enough to see what it is about
            broken.append(one)
    if not runs:
        raise Unimportable(f"No whole run in it: {'; '.join(broken[:3]) or 'it is empty'}.")
    return Found(runs=tuple(runs), broken=tuple(broken))


def checked(name: str) -> str:
    """*name* as a format. Raises `Unimportable`."""
    if name and name not in FORMATS:
        raise Unimportable(f"No format {quoted(name)}. Formats: {listed(FORMATS)}.")
    return name
