"""Hostile JSON and XML into plain values: bounded in size, depth and number; any bytes give values or `Unimportable`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from pytest_recall.errors import Unimportable, quoted

MOST_BYTES = 64 << 20  # of one document
_MOST_VALUES = 6_000_000  # commas and brackets of a JSON text: each may become an object of some 60 bytes
_MOST_ELEMENTS = 2_000_000
_MOST_ATTRIBUTES = 3_000_000  # of a whole document
_MOST_OF_ONE = 200
_DEEPEST = 64  # elements within elements
_CHUNK = 1 << 16
_LONGEST = 1e9  # seconds
_EARLIEST, _LATEST = 315_532_800, 253_402_300_800

T = TypeVar("T")

_NAMES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list",
    dict: "object",
}
_MISSING: Any = object()


# --- JSON -----------------------------------------------------------------------------------


def json_value(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, 16 or 32. Raises `Unimportable`."""
    if len(data) > MOST_BYTES:
        raise Unimportable(f"JSON of {len(data) >> 20} MB; the most that is read is {MOST_BYTES >> 20} MB.")
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise Unimportable(f"JSON of more than {_MOST_VALUES:,} values.")
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass").removeprefix("\ufeff")
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise Unimportable("JSON that is nested too deeply.") from None
    except (ValueError, LookupError) as error:
        raise Unimportable(f"No JSON: {_said(error)}.") from None


def part(holder: object, key: str, kind: type[T], default: T = _MISSING, *, where: str = "the report") -> T:
    """`holder[key]`, which must be a *kind*; *default* where it is missing or null.

    A whole number is a number, too, and 2.0 a whole one. Raises `Unimportable`, which names *where* and what is wrong.
    """
    if not isinstance(holder, dict):
        raise Unimportable(f"{where} is no object.")
    value = holder.get(key)
    if value is None:
        if default is _MISSING:
            raise Unimportable(f"{where} has no {key!r}.")
        return default
    if kind is float and type(value) is int and abs(value) < 1 << 53:
        return cast("T", float(value))
    if kind is int and type(value) is float and value.is_integer() and abs(value) < 1 << 53:
        return cast("T", int(value))
    if type(value) is not kind:
        raise Unimportable(f"{key!r} of {where} is {quoted(value)}, and no {_NAMES[kind]}.")
    return value


def optional(holder: object, key: str, kind: type[T], default: T) -> T:
    """`holder[key]` where it is a *kind*, else *default*: for what a report need not tell."""
    try:
        return part(holder, key, kind, default)
    except Unimportable:
        return default


def parts(holder: object, key: str, *, where: str = "the report") -> Sequence[Any]:
    """The list `holder[key]`; empty where it is missing. Raises `Unimportable`."""
    found: list[Any] = part(holder, key, list, [], where=where)
    return found


def seconds(value: object) -> float:
    """*value* as a duration: 0.0 for whatever is none."""
    if isinstance(value, str):
        try:
            value = float(_pointed(value))
        except ValueError:
            return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < _LONGEST else 0.0


def _pointed(text: str) -> str:
    """A number with a point: `1,204.5` and `1,204` have thousands, `0,512` and `1,5` are written with a comma."""
    whole, _, rest = text.strip().partition(",")
    is_decimal = rest.isdigit() and "." not in whole and (not whole.strip("0") or len(rest) != 3)  # noqa: PLR2004 - as many digits as thousands have
    return f"{whole}.{rest}" if is_decimal else text.replace(",", "")


def instant(value: object) -> float:
    """*value* as seconds since the epoch; 0.0, not told, for whatever is no time between 1980 and 9999."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if _EARLIEST < value < _LATEST else 0.0


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no finite number")
    return value


# --- XML ------------------------------------------------------------------------------------


def xml_tree(data: bytes) -> Element:
    """The root of an XML document, its tags without namespaces. No DTD, no entities. Raises `Unimportable`."""
    # Not imported above: it takes a second copy of the XML package. It has no types of its own.
    from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]  # noqa: PLC0415
    from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]  # noqa: PLC0415

    if len(data) > MOST_BYTES:
        raise Unimportable(f"XML of {len(data) >> 20} MB; the most that is read is {MOST_BYTES >> 20} MB.")
    if data.count(b"=") > 2 * _MOST_ATTRIBUTES or data.count(b"<") > 2 * _MOST_ELEMENTS:
        raise Unimportable("XML of too many elements.")
    try:
        # A DTD could give every element an attribute of any size, so none is read at all.
        parser = DefusedXMLParser(target=_Builder(), forbid_dtd=True)
        for at in range(0, len(data), _CHUNK):
            parser.feed(data[at : at + _CHUNK])
        return cast("Element", parser.close())
    except DefusedXmlException as error:
        raise Unimportable(
            f"XML with a DTD or entities, which are not read ({type(error).__name__})."
        ) from None
    except (ParseError, ValueError, LookupError, AssertionError) as error:
        raise Unimportable(f"No XML: {_said(error)}.") from None


class _Builder(TreeBuilder):
    """A tree that stops growing in time."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._elements = self._attributes = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        self._attributes += len(attrs)
        if self._depth > _DEEPEST:
            raise ValueError(f"elements {_DEEPEST} deep")
        if (
            self._elements > _MOST_ELEMENTS
            or self._attributes > _MOST_ATTRIBUTES
            or len(attrs) > _MOST_OF_ONE
        ):
            raise ValueError("too many elements or attributes")
        return super().start(_local(tag), attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(_local(tag))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _said(error: Exception) -> str:
    return str(error).replace("\n", " ")[:200] or type(error).__name__
