"""One self-contained HTML file: everything inlined, everything escaped, and a policy that lets nothing else run.

The scripts and styles are ours and uPlot's; the policy names them by their hashes. What came from tests
reaches the page in two ways only: through templates that escape, and as JSON in a script element that no
browser runs. Our script makes text nodes of it; with trusted types it could not do otherwise.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent
_STYLES = ("vendor/uplot/uPlot.min.css", "static/report.css")
_SCRIPTS = ("vendor/uplot/uPlot.iife.min.js", "static/report.js")
_IN_SCRIPT = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_LINES = 400  # of one traceback or diff

# Letters of the strips of outcomes, and the class and the word of each.
MARKS = {
    ".": ("passed", "passed"),
    "F": ("failed", "failed"),
    "E": ("failed", "error"),
    "T": ("failed", "timed out"),
    "C": ("failed", "crashed"),
    "s": ("skipped", "skipped"),
    "x": ("skipped", "expected to fail"),
    "X": ("passed", "passed unexpectedly"),
    "-": ("skipped", "not run"),
}


def render(overview: Mapping[str, Any], data: str) -> str:
    """The page of *overview*; *data* is the same as JSON, for the parts that a script draws."""
    styles, scripts = _inlined(_STYLES), _inlined(_SCRIPTS)
    return _template().render(
        overview,
        styles=Markup(styles),  # noqa: S704 - files of this package
        scripts=Markup(scripts),  # noqa: S704
        policy=_policy(styles, scripts),
        data=Markup(data.translate(_IN_SCRIPT)),  # noqa: S704 - JSON: in its strings these are escapes, elsewhere there are none
    )


def _policy(styles: str, scripts: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(scripts)}; style-src {_hash(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inlined(paths: Sequence[str]) -> str:
    return "\n".join((_HERE / path).read_text("utf-8").strip() for path in paths)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "marks": _marks,
        "told": _told,
        "classed": _classed,
        "words": _words,
        "seconds": _seconds,
        "count": _count,
        "anchor": _anchor,
        "broken": _broken,
    }
    return environment.get_template("report.html")


# --- what the templates ask for -----------------------------------------------------------------


def _marks(outcomes: str) -> list[str]:
    """The class of each letter of a strip."""
    return [MARKS.get(letter, ("skipped", ""))[0] for letter in outcomes]


def _told(outcomes: str) -> str:
    """A strip in words, for those who hear it."""
    counts: dict[str, int] = {}
    for letter in outcomes:
        word = MARKS.get(letter, ("", "unknown"))[1]
        counts[word] = counts.get(word, 0) + 1
    said = ", ".join(f"{number} {word}" for word, number in counts.items())
    return f"Last {len(outcomes)} attempts: {said}" if outcomes else "No attempts kept"


def _classed(text: str, kind: str) -> Iterator[tuple[str, str]]:
    """The lines of a traceback (pytest's own) or of a diff, each with its class."""
    lines = text.split("\n")
    for line in lines[:_LINES]:
        yield (_of_diff(line) if kind == "diff" else _of_traceback(line)), line
    if len(lines) > _LINES:
        yield "cut", f"… {len(lines) - _LINES} more lines"


def _of_diff(line: str) -> str:
    return {"+": "add", "-": "del", "@": "at"}.get(line[:1], "")


def _of_traceback(line: str) -> str:
    if line.startswith(">"):
        return "at"
    if not line.startswith("E"):
        return ""
    said = line[1:].lstrip()  # pytest marks what differs: `-` was wanted, `+` was got
    return {"+": "err add", "-": "err del"}.get(said[:1] if said[1:2] == " " else "", "err")


def _words(name: str) -> str:
    """`new_failure` as people write it."""
    return name.replace("_", " ")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds >= 0.00001 else "< 0.01 ms"  # noqa: PLR2004 - what is kept of it
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{seconds:.3g} s"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _broken(test_id: str) -> Markup:
    """A test id that a narrow column may break where its parts meet; `join` escapes them."""
    return Markup("::<wbr>").join(test_id.split("::"))


def _anchor(fingerprint: str) -> str:
    """Where the page shows that cause."""
    return "cause-" + "".join(char for char in fingerprint if char.isalnum())
