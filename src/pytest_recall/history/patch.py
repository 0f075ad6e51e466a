"""A unified diff, read file by file, and the ways in which one makes tests pass without mending anything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

_MOST = 2_000_000  # characters of a diff
_MOST_HUNKS = 20_000  # characters kept of one file

_MOST_ABOUT = 300  # of one line about a file
_ABOUT = ("old mode ", "new mode ", "new file mode ", "deleted file mode ", "Binary files ")

_HUNK = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(slots=True, kw_only=True)
class FileDiff:
    """What a diff does to one file. `path` is the new one; of a deleted file the old one."""

    path: str
    old: str = ""
    deleted: bool = False
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # where those stand in the new file
    hunks: str = ""  # after a change of its mode; of a file without lines to tell (empty, binary) what git says instead


def read_diff(text: str) -> list[FileDiff]:
    """The files of a unified diff as git writes it (`a/`, `b/`); what is no diff is passed over."""
    found: list[FileDiff] = []
    lines = iter(text[:_MOST].split("\n"))
    old, headed = "", False
    for line in lines:
        if line.startswith("diff --git "):
            path = _both(line[11:])
            headed = bool(path)
            found += [FileDiff(path=path, old=path)] if headed else []
        elif line.startswith("--- "):
            old = _path(line[4:])
        elif line.startswith("+++ "):
            new = _path(line[4:])
            about = found.pop().hunks if headed else ""
            headed = False
            mode = about if about.startswith("old mode") else ""
            found.append(FileDiff(path=new or old, old=old, deleted=not new, hunks=mode))
        elif headed and line.startswith(_ABOUT):
            _note(found[-1], line)
        elif found and (match := _HUNK.match(line)):
            _read_hunk(found[-1], match, lines)
    return [one for one in found if one.path]


def _both(names: str) -> str:
    """The path that git's header names twice; "" where those are two."""
    middle = len(names) // 2
    old, new = _path(names[:middle]), _path(names[middle + 1 :])
    return new if old == new and names[middle : middle + 1] == " " else ""


def _note(into: FileDiff, line: str) -> None:
    """What stands between the header and the hunks, or instead of these."""
    if line.startswith("new file"):
        into.old = ""
    elif line.startswith("deleted file"):
        into.deleted = True
    into.hunks += f"{line[:_MOST_ABOUT]}\n"


def _read_hunk(into: FileDiff, head: re.Match[str], lines: Iterator[str]) -> None:
    old, at, new = int(head[1] or 1), int(head[2]), int(head[3] or 1)
    kept = [head.string]
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            break
        sign = line[:1]
        if sign == "-":
            into.removed.append(line[1:])
        elif sign == "+":
            into.added.append(line[1:])
            into.lines.append(at)
        old -= sign in {"-", " ", ""}
        new -= sign in {"+", " ", ""}
        at += sign in {"+", " ", ""}
        kept.append(line)
    if len(into.hunks) < _MOST_HUNKS:
        into.hunks += "\n".join(kept)[: _MOST_HUNKS - len(into.hunks)] + "\n"


def _path(name: str) -> str:
    name = name.partition("\t")[0].rstrip("\r")
    if name.startswith('"') and name.endswith('"'):
        name = _unquoted(name[1:-1])
    if name == "/dev/null":
        return ""
    return name[2:] if name.startswith(("a/", "b/")) else name


def _unquoted(name: str) -> str:
    """A path as git quotes it: its bytes in octal."""
    data = _ESCAPE.sub(
        lambda m: chr(int(m[1], 8) & 255) if m[1].isdigit() else _LETTERS.get(m[1], m[1]), name
    )
    try:
        return data.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # not all of it was quoted
        return data


# --- passing without mending ------------------------------------------------------------------

_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*\.py|[^/]*_tests?\.py|conftest\.py)$|(?:^|/)tests?/")
_CONFIG = re.compile(
    r"(?:^|/)(?:pyproject\.toml|pytest\.(?:ini|toml)|\.pytest\.(?:ini|toml)|tox\.ini|setup\.cfg)$"
)
_LOCK = re.compile(
    r"(?:^|/)(?:[^/]*requirements[^/]*\.(?:txt|in)|constraints[^/]*\.txt|[^/]*\.lock|setup\.py|Pipfile)$"
)
_DEFINED = re.compile(r"\s*(?:async\s+)?(?:def\s+(test\w*)|class\s+(Test\w*))")
_BLOCK = re.compile(r"\s*(?:(?:async\s+)?def|class)\b")
_SKIP = re.compile(
    r"\bpytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b|\bmark\.(?:skip|xfail)|\bunittest\.(?:skip|expected)"
    r"|\bSkipTest\b|\bself\.skipTest\b|__test__\s*=\s*False|\bcollect_ignore"
)
_ASSERT = re.compile(r"\s*(?:assert\b|self\.(?:assert|fail)\w*\(|(?:with\s+)?(?:pytest\.)?raises\()")
_EXACT = re.compile(
    r"==|\bis\b(?!\s+not\s+None)|\bassert(?:Equal|Is|ListEqual|DictEqual|Count\w*)\(|\braises\((?!(?:Base)?Exception\b)"
)
_EMPTY = re.compile(r"\s*assert\s+(?:True|1|not False)\b|\bor\s+True\b")
_AWAY = re.compile(
    r"^\s+(?:return(?:\s+None)?|pass)\s*(?:#|$)|^\s*(?:el)?if\s+(?:0|False|None|not\s+(?:1|True))\s*:"
    r"|^\s+except\b[^#]*:\s*(?:return(?:\s+None)?|pass|\.\.\.)\s*(?:#|$)"
)
_IF = re.compile(r"\s*if\b")
_ELSE = re.compile(r"\s*(?:else|elif)\b")
_DESELECT = re.compile(
    r"--deselect|--ignore|-k\s*['\"]?not\b|norecursedirs|collect_ignore|\bxfail_strict\s*=\s*[fF]alse"
)


def is_test_file(path: str) -> bool:
    """Whether *path* is a test module, a conftest, or anything in a folder of tests."""
    return bool(_TEST_FILE.search(path))


def is_config(path: str) -> bool:
    """Whether *path* configures the tests or pins what they run with."""
    return bool(_CONFIG.search(path) or _LOCK.search(path))


def weakened(diff: Sequence[FileDiff], test: str = "", *, reached: Collection[str] = ()) -> tuple[str, ...]:
    """Why *diff* may make *test* (a node id) pass without mending what failed: short reasons, each with its file.

    Only what it may use can do so: its own file, its conftests, test files that it has *reached*, and settings; without
    a test, any. A suspicion to show, not a proof: a rewritten test may lose an assertion for good reasons.
    """
    own = test.partition("::")[0]
    tests = [one for one in diff if is_test_file(one.path)]
    come = frozenset(name for one in tests for line in one.added if (name := _name(line)))
    elsewhere = Counter(line.strip() for one in tests if one.path != own for line in one.added)
    near = [
        one
        for one in diff
        if not test or is_config(one.path) or one.path in reached or _is_near(one.path, own)
    ]
    reasons = [f"{reason} ({one.path})" for one in near for reason in _reasons(one, come)]
    for one in [one for one in near if is_test_file(one.path) and not one.deleted]:
        its = one.path == own
        more = _asserts(one, elsewhere if its else Counter(), whole=its or not test)
        reasons += [f"{reason} ({one.path})" for reason in more]
    return tuple(dict.fromkeys(reasons))


def _is_near(path: str, own: str) -> bool:
    folder, _, name = path.rpartition("/")
    return path == own or (name == "conftest.py" and (not folder or own.startswith(f"{folder}/")))


def _name(line: str) -> str:
    """The test, or class of tests, that *line* begins."""
    match = _DEFINED.match(line)
    return (match[1] or match[2]) if match else ""


def _reasons(one: FileDiff, come: frozenset[str]) -> Iterator[str]:
    """Tests that are run no more; *come* are those that the whole diff adds."""
    if _CONFIG.search(one.path) and _more(_DESELECT, one):
        yield "tests deselected"
    if not is_test_file(one.path):
        return
    gone = {name for line in one.removed if (name := _name(line))}
    own = {name for line in one.added if (name := _name(line))}
    if one.deleted:
        if not gone or gone - come:
            yield "test file deleted"
        return
    if len(gone - come) > len(own - gone):
        yield f"test deleted: {', '.join(sorted(gone - come)[:3])}"
    elif _more(_SKIP, one):
        yield "skip or xfail added"


def _old_blocks(added: Sequence[str]) -> Iterator[int]:
    """Which of the *added* lines are in no function or class that was added with them."""
    depth = -1
    for number, line in enumerate(added):
        if line.strip() and (depth < 0 or _indent(line) <= depth):
            depth = _indent(line) if _BLOCK.match(line) else -1
        if depth < 0:
            yield number


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _asserts(one: FileDiff, moved: Counter[str], *, whole: bool) -> Iterator[str]:
    """What is asserted no more, *moved* being what the diff adds to other files; with *whole*, or no longer reached."""
    if whole and _more(_AWAY, replace(one, added=[one.added[n] for n in _old_blocks(one.added)])):
        yield "early end added"
    left = Counter(line.strip() for line in one.removed) - moved
    one = replace(one, removed=[line for line in one.removed if left[line.strip()] > 0])
    removed, added = ([line for line in side if _ASSERT.match(line)] for side in (one.removed, one.added))
    if len(removed) > len(added):
        yield "assertion removed"
    elif any(_EXACT.search(old) and not _EXACT.search(new) for old, new in zip(removed, added, strict=False)):
        yield "assertion weakened"
    elif any(_EMPTY.search(line) for line in added):
        yield "assertion emptied"
    elif _made_conditional(one, removed):
        yield "assertion made conditional"


def _made_conditional(one: FileDiff, removed: Sequence[str]) -> bool:
    """Whether one of the *removed* assertions stands, further in, under an added `if` that has no other branch."""
    stood: dict[str, int] = {}
    for line in removed:
        stood[line.strip()] = max(_indent(line), stood.get(line.strip(), 0))
    known = {line.strip() for line in one.removed}
    branches = [
        n for n in _old_blocks(one.added) if _IF.match(one.added[n]) and one.added[n].strip() not in known
    ]
    return any(
        any(_indent(line) > stood.get(line.strip(), len(line)) for line in _branch(one, number))
        for number in branches
    )


def _branch(one: FileDiff, number: int) -> Sequence[str]:
    """The added lines under the `if` of that *number*; none where another branch follows them."""
    depth, end = _indent(one.added[number]), number + 1
    while end < len(one.lines) and one.lines[end] == one.lines[end - 1] + 1:
        line = one.added[end]
        if line.strip() and _indent(line) <= depth:
            if _indent(line) == depth and _ELSE.match(line):
                return ()
            break
        end += 1
    return one.added[number + 1 : end]


def _more(pattern: re.Pattern[str], one: FileDiff) -> bool:
    added, removed = (
        sum(bool(pattern.search(line)) for line in side if not line.lstrip().startswith("#"))
        for side in (one.added, one.removed)
    )
    return added > removed
