"""A report as a comment on a pull request: Markdown that holds whatever tests said as text, within GitHub's limit."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST = 60_000  # characters; GitHub refuses comments over 65,536
_CAUSES = 10
_TESTS = 8
_FLAKY = 10
_TEXT = 3_000
_LINE = 300
_LISTED = 50


def render(overview: Mapping[str, Any]) -> str:
    """The newest run, what fails and why, what is flaky and what changed. Links to nothing, mentions nobody."""
    parts = [
        _headline(overview),
        *_causes(overview["causes"]),
        *_flaky(overview),
        *_slower(overview),
        *_changed(overview["change"]),
    ]
    kept, room = [], MOST - 200
    for part in parts:
        if len(part) > room:
            kept.append("*More than a comment can hold: the rest is in the HTML report.*")
            break
        kept.append(part)
        room -= len(part) + 2
    kept.append(f"<sub>pytest-recall {overview['version']}, {overview['made']} UTC</sub>")
    return "\n\n".join(kept) + "\n"


def of_run(answer: Mapping[str, Any], texts: Sequence[str]) -> str:
    """One run's answer for whoever reviews it; *texts* are the failures' own, a group each."""
    causes = [{**cause, "text": text} for cause, text in zip(answer["failures"], texts, strict=True)]
    line = {"branch": "", "source": ""}
    told = {"last": answer, "runs": [line], "project": answer["project"], "causes": causes}
    lists = [
        f"#### {title}\n\n" + "\n".join(f"- {_code(test)}" for test in answer[name][:_LISTED])
        for name, title in (("newly_failing", "Newly failing"), ("newly_passing", "Newly passing"))
        if answer[name]
    ]
    facts = "\n".join(
        f"- {name}: {_code(str(answer[name]))}" for name in ("run_id", "python", "pytest") if answer[name]
    )
    warnings = [f"> {_code(warning)}" for warning in answer["warnings"]]
    return "\n\n".join([_headline(told), facts, *_causes(causes), *lists, *warnings]) + "\n"


def _headline(overview: Mapping[str, Any]) -> str:
    last, line = overview["last"], overview["runs"][-1]
    stands = last["status"].replace("_", " ")
    if last["status"] == "passed" and overview["causes"]:  # it ran a few tests only
        stands = "the newest run passed, others did not"
    sign = "✅" if stands == "passed" else "❌"
    counts = {
        name: number for name, number in last["counts"].items() if name not in ("collected", "selected")
    }
    told = (
        ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items()) or "no test ran"
    )
    facts = [
        f"{last['duration_s']:g} s",
        _code(last["revision"]),
        _code(line["branch"]),
        _code(line["source"]),
    ]
    lines = [
        f"### {sign} {_code(overview['project'])}: {stands}",
        f"{told} · {' · '.join(fact for fact in facts if fact)}",
    ]
    if last["error"]:
        lines.append(_code(last["error"]))
    return "\n\n".join(lines)


def _causes(causes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if causes:
        yield "#### What fails"
    for cause in causes[:_CAUSES]:
        yield _cause(cause)
    if len(causes) > _CAUSES:
        yield f"… and {len(causes) - _CAUSES} more causes."


def _cause(cause: Mapping[str, Any]) -> str:
    number = len(cause["tests"]) + cause["tests_omitted"]
    verdict = f" <b>{_inner(cause['verdict'].replace('_', ' '))}</b>" if cause["verdict"] else ""
    # A block of HTML: no Markdown is read in it before the next empty line.
    summary = (
        f"<details><summary><code>{_inner(cause['error'])}</code> <code>{_inner(cause['message'])}</code>"
        f"{verdict}, {number:,} test{'s' if number != 1 else ''}</summary>"
    )
    said = " ".join(_code(cause[name]) for name in ("evidence", "action") if cause[name])
    lines = [summary, *([said] if said else [])]
    lines.append("\n".join(f"- {_code(test)}" for test in cause["tests"][:_TESTS]))
    if number > _TESTS:
        lines.append(f"and {number - _TESTS:,} more")
    if cause["text"] or cause["traceback"]:
        lines.append(_block((cause["text"] or cause["traceback"])[-_TEXT:], "text"))
    lines += [f"→ {_code(hint)}" for hint in cause["hints"]]
    if fix := cause["fix"]:
        lines.append(
            f"{'Weakened' if fix['weakened'] else 'Mended'} before: {fix['at']} {_code(fix['revision'])}"
        )
        lines += [f"> {_code(intent)}" for intent in fix["intents"][:2]]
        lines += [_block(fix["hunk"][:_TEXT], "diff")] if fix["hunk"] else []
    lines.append("</details>")
    return "\n\n".join(lines)


def _flaky(overview: Mapping[str, Any]) -> Iterator[str]:
    found = [overview["tests"][n] for n in overview["flaky"]]
    if found:
        lines = [
            f"- {_code(one['id'])} {one['verdict'].replace('_', ' ')}, failed {one['failed']}/{one['attempts']}"
            for one in found[:_FLAKY]
        ]
        more = [f"- and {len(found) - _FLAKY} more"] if len(found) > _FLAKY else []
        yield "#### Flaky\n\n" + "\n".join(lines + more)


def _slower(overview: Mapping[str, Any]) -> Iterator[str]:
    found = [overview["tests"][n] for n in overview["slower"]]
    if found:
        yield "#### Got slower\n\n" + "\n".join(
            f"- {_code(one['id'])} {one['before_s']:g} s → {one['now_s']:g} s" for one in found[:_FLAKY]
        )


def _changed(change: Mapping[str, Any] | None) -> Iterator[str]:
    if change is None:
        return
    names = {
        "newly_failing": "newly failing",
        "newly_passing": "newly passing",
        "silenced": "silenced",
        "vanished": "gone",
    }
    lists = {title: change[name] for name, title in names.items() if change[name]}
    if lists:
        before = change["before"]
        lines = [f"#### Since {_code(before['revision'] or before['run_id'])} ({before['at']} UTC)"]
        for title, ids in lists.items():
            shown = "\n".join(f"  - {_code(test)}" for test in ids[:_TESTS])
            lines.append(f"- **{title}** {len(ids)}\n{shown}")
        yield "\n\n".join([lines[0], "\n".join(lines[1:])])


# --- text that stays text -----------------------------------------------------------------------


def _code(text: str) -> str:
    """*text* as a code span on one line, whatever it holds; nothing of an empty one."""
    line = " ".join(text.split())[:_LINE]
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _inner(text: str) -> str:
    """*text* on one line inside an element of HTML."""
    return html.escape(" ".join(text.split())[:_LINE])


def _block(text: str, language: str) -> str:
    """*text* between fences longer than any in it."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}{language}\n{text}\n{fence}"
