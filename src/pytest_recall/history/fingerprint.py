"""What makes two failures the same one: text without its accidents, and digests of the cause.

No line numbers anywhere: exception, first line of the message, file and *source text* of the
innermost project frame find 99 % of the recurrences after code has moved; file:line finds 40 %.
All text is hostile. It is bounded first, and every pattern here takes linear time on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

from pytest_recall.model import Failure, Fingerprint, Frame, Outcome

_MOST = 65_536  # characters of a text that are looked at
_MESSAGE = 2_000  # characters of a message that say which cause it is: normalising is slow
_DOCUMENT = 12_288  # bytes, UTF-8
_RENDERING = 2_000  # characters of pytest's own text that are searched too
_QUOTED = 64  # characters of a quoted string that are kept

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_HEX = re.compile(r"\b[0-9a-fA-F]{7,128}\b")
_STAMPS = (
    (re.compile(r"0x[0-9a-fA-F]+"), "<addr>"),
    (re.compile(r"\.\.\.x?[0-9a-f]{4,16}(?=>)"), "...<addr>"),  # pytest shortens reprs in their middle
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
)
_TIMES = re.compile(
    r"(?<!\w)(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"
    r"(?:Z|[+-]\d\d:?\d\d)?(?!\w)"
    r"|(?<!\w)datetime\.(?:datetime|date|time)\([\d, ]{1,60}\)"
)
# A word, or a path with its drive: taken whole, so that no pattern starts anew inside a long one.
_WORD = re.compile(r"""(?:\b[A-Za-z]:(?=[\\/]))?[^\s'"`()\[\]{},;=|:]+""")
_SEPARATOR = re.compile(r"[\\/]+")
_NUMBERS = (
    (re.compile(r"\b(line )\d+(?!\w)|(\.py:)\d+(?!\w)|(:)\d+(?=:)"), r"\1\2\3<n>"),
    (re.compile(r"\bgw\d+\b"), "gw<n>"),
    (re.compile(r"\b(pid|process|port)((?: is)?[ =:#]{1,3})\d+(?!\w)", re.IGNORECASE), r"\1\2<n>"),
    (
        re.compile(
            r"(\b(?:localhost|\d{1,3}(?:\.\d{1,3}){3}):|\(['\"](?:localhost|[\d.]{7,15})['\"], )\d{2,5}(?!\w)"
        ),
        r"\1<n>",
    ),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+)? ?(?:ns|us|µs|ms|s|secs?|seconds?|minutes?)\b"), "<duration>"),
    (re.compile(r"""\b(id=['"]?|started (?:daemon )?)\d{5,}(?!\w)"""), r"\1<n>"),
    (re.compile(r"\b(Thread|Task|Process|ThreadPoolExecutor|Dummy|Worker)-\d+(?:_\d+)?(?!\w)"), r"\1-<n>"),
)
_QUOTES = re.compile(r"""(?<!\w)[bruBRU]{0,2}(?:'[^']*'|"[^"]*")""")
_BRACES = re.compile(r"\{[^{}]{1,400}\}")


def normalise(text: str, *, root: str = "") -> str:
    """*text* on one line, without what differs between two runs of the same failure.

    Replaced, in this order: colours; line ends; the *root*; addresses; UUIDs; digests; dates and
    times; temporary folders; the environment's folders; line numbers; workers, pids and ports;
    durations; numbers in object reprs. Kept: types, statuses, small integers, names, and quoted
    strings up to 64 characters. The items inside short set and dict reprs are sorted.
    """
    text = _CONTROL.sub("", _ANSI.sub("", text[:_MOST]))
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    # The root goes first: it may lie in a temporary folder or carry a digest in its name.
    text = _rooted(text, root)
    for pattern, token in _STAMPS:
        text = pattern.sub(token, text)
    text = _HEX.sub(_hex, text)
    text = _TIMES.sub("<time>", text)
    text = _WORD.sub(_place, text)
    for pattern, token in _NUMBERS:
        text = pattern.sub(token, text)
    return _BRACES.sub(_sorted, _QUOTES.sub(_cut, text))


def fingerprint(
    *, exception: str, message: str, frames: Sequence[Frame], root: str, test_id: str
) -> Fingerprint:
    """The digests of one failure's cause: `fp1:` and 12 hex digits each.

    `group`: exception, first line of the message, and the innermost project frame. `strict`: that,
    of one test. `loose`: exception and the last three project frames, whatever the message.
    """
    inside = [frame for frame in frames if frame.project] or list(frames)
    places = [part for frame in inside[-3:] for part in _where(frame, root)]
    group = _hash("group", exception, normalise(first_line(message[:_MESSAGE]), root=root), *places[-2:])
    return Fingerprint(
        group=group, strict=_hash("strict", group, test_id), loose=_hash("loose", exception, *places)
    )


def ended(outcome: Outcome, test_id: str) -> Fingerprint:
    """The fingerprint of a test that hung or died and left no exception: its own, and no other test's."""
    own = _hash(outcome.value, test_id)
    return Fingerprint(group=own, strict=own, loose=_hash(outcome.value))


def document(failure: Failure, *, root: str = "") -> str:
    """What a search finds a failure by, normalised, at most 12 KB of UTF-8.

    Type, message and project frames, innermost first, then the end of pytest's rendering: the code
    around the failing line names what is under test, and finds more than the frames alone.
    """
    inside = [frame for frame in failure.frames if frame.project] or list(failure.frames)
    lines = [failure.exception, normalise(failure.message[:6000], root=root)]
    for frame in reversed(inside[-12:]):
        path, source = _where(frame, root)
        lines.append(f"{path} {frame.function[:200]} {source[:400]}")
    # The index pays ten bytes for each of a document, so no more than has been seen to help.
    lines.append(normalise(failure.text[-_RENDERING * 4 :], root=root)[-_RENDERING:])
    return "\n".join(lines).strip().encode("utf-8", "replace")[:_DOCUMENT].decode("utf-8", "ignore")


def digest(*parts: str) -> str:
    """12 hex digits of *parts*, in their order."""
    made = blake2b(digest_size=6)
    for part in parts:
        data = part.encode("utf-8", "replace")
        made.update(b"%d:%s" % (len(data), data))  # the length keeps ("ab", "c") from ("a", "bc")
    return made.hexdigest()


def _hash(*parts: str) -> str:
    return f"fp1:{digest(*parts)}"


def first_line(message: str) -> str:
    """The first line of *message* that says anything."""
    return next((line for line in message[:_MOST].splitlines() if line.strip()), "")


def _where(frame: Frame, root: str) -> tuple[str, str]:
    # Source text is the project's own and stays as it is, but for its spaces.
    return normalise(frame.path.replace("\\", "/"), root=root), " ".join(frame.source[:2000].split())


def _rooted(text: str, root: str) -> str:
    for form in {root.rstrip("\\/"), root.rstrip("\\/").replace("\\", "\\\\")}:
        if len(form) > 1:
            text = re.sub(rf"(?<![\w.>-]){re.escape(form)}(?![\w<-])", "<root>", text)
    return text


def _hex(match: re.Match[str]) -> str:
    word = match[0]
    return word if word.isdigit() or word.isalpha() else "<hex>"


def _place(match: re.Match[str]) -> str:
    """A word of the text: where it is a path, without the folders that an environment chose."""
    word = match[0]
    if "/" not in word and "\\" not in word:
        return word
    parts = _SEPARATOR.split(word)
    if _temporary(parts):
        name = parts[-1]
        named = "." in name and not name.startswith(("tmp", "pytest-of-"))
        return f"<tmp>/{name}" if named else "<tmp>"
    for folder in ("site-packages", "dist-packages"):
        if folder in parts[:-1]:
            at = len(parts) - parts[::-1].index(folder)
            return "/".join(["<site>", *parts[at:]])
    return word


def _temporary(parts: list[str]) -> bool:
    if any(part.startswith("pytest-of-") for part in parts):
        return True
    if parts[0].endswith(":"):
        return "Temp" in parts
    start = parts[1:4]
    if start[:1] == ["private"]:
        start = start[1:]
    return parts[0] == "" and (start[:1] == ["tmp"] or start[:2] in (["var", "folders"], ["var", "tmp"]))


def _cut(match: re.Match[str]) -> str:
    word = match[0]
    quote = word[-1]
    head, _, body = word[:-1].partition(quote)
    return word if len(body) <= _QUOTED else f"{head}{quote}{body[:_QUOTED]}…{quote}"


def _sorted(match: re.Match[str]) -> str:
    items = match[0][1:-1].split(",")
    return "{" + ", ".join(sorted(item.strip() for item in items)) + "}"
