"""What GitHub Actions kept of its runs, fetched through the `gh` command that its user has installed and signed in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

from pytest_recall.errors import BadRequest, Unimportable, quoted
from pytest_recall.imports import revisions
from pytest_recall.imports.bounded import json_value, part
from pytest_recall.imports.report import timestamp
from pytest_recall.imports.sources import Refused
from pytest_recall.model import Pipeline, Revision

_FIELDS = "databaseId,headSha,headBranch,event,createdAt,workflowName,status,url"
_RUNS, _MOST_RUNS = 500, 2_000  # that are listed: at first, and where these do not reach back far enough
_ASK_S, _LIST_S, _FETCH_S = 60.0, 300.0, 900.0
_SIGNED_OUT = 4  # gh's exit code
_NOTHING = ("no valid artifacts found", "no artifact matches any of the names")  # in gh's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow run."""

    id: str
    name: str
    revision: Revision
    created_at: float
    link: str = ""
    finished: bool = True


class GitHub:
    """The `gh` command in the folder of a project: it finds the repository by itself.

    Raises:
        BadRequest: there is no `gh`.
    """

    def __init__(self, root: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._environ = {**environ, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
        command = which("gh", path=environ.get("PATH"))
        if command is None:
            raise BadRequest(
                "No `gh` command on PATH. Install GitHub's CLI (https://cli.github.com) and run `gh auth login`, or "
                "download the artefacts yourself and pass their files."
            )
        self._command = command

    def run(self, run_id: str) -> Workflow:
        """The run of that number. Raises `BadRequest`."""
        if not (run_id.isascii() and run_id.isdigit() and len(run_id) <= 20):  # noqa: PLR2004 - longer than any
            raise BadRequest(
                f"--gh takes a run's number, as in its address: …/actions/runs/123; got {quoted(run_id)}."
            )
        return _workflow(json_value(self._ask("run", "view", run_id, "--json", _FIELDS)))

    def since(self, instant: float) -> Iterator[Workflow | Refused]:
        """The finished runs since then, oldest first; and that there may be more, where not all were listed.

        Raises:
            BadRequest: they cannot be listed.
        """
        runs, whole = self._newest(_RUNS, instant)
        if not whole:
            runs, whole = self._newest(_MOST_RUNS, instant)
        if not whole:
            first = f"{datetime.fromtimestamp(runs[0].created_at, UTC):%Y-%m-%d %H:%M}"
            yield Refused(
                name="GitHub",
                why=f"has more runs since then than the {len(runs):,} newest, which are looked at: none before {first} UTC. "
                "Name an older one with --gh RUN_ID, or import a shorter time more often",
            )
        yield from (run for run in runs if run.finished and run.created_at >= instant)

    def _newest(self, most: int, instant: float) -> tuple[list[Workflow], bool]:
        """The newest runs, oldest first, and whether all since *instant* are among them.

        An older gh has no filter of time.
        """
        listed = json_value(
            self._ask("run", "list", "--limit", str(most), "--json", _FIELDS, limit_s=_LIST_S)
        )
        if not isinstance(listed, list):
            raise Unimportable("`gh run list` gave no list.")
        runs = sorted(map(_workflow, listed), key=lambda one: (one.created_at, one.id))
        return runs, len(runs) < most or runs[0].created_at < instant

    def fetch(self, run: Workflow, folder: Path, pattern: str = "") -> list[tuple[str, Path]]:
        """The run's artefacts, unpacked into *folder*: their names and places; at most those that match *pattern*.

        None where it has none, or all have expired.

        Raises:
            Unimportable: they cannot be fetched.
        """
        chosen = ["--pattern", pattern] if pattern else []
        try:
            self._ask("run", "download", run.id, "--dir", str(folder), *chosen, limit_s=_FETCH_S)
        except BadRequest as error:
            if any(words in str(error) for words in _NOTHING):
                return []
            raise Unimportable(str(error)) from None
        return sorted((path.name, path) for path in folder.iterdir())

    def _ask(self, *words: str, limit_s: float = _ASK_S) -> bytes:
        try:
            done = subprocess.run(
                [self._command, *words],
                cwd=self._root,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BadRequest(f"`gh {' '.join(words[:3])}` took longer than {limit_s:.0f} s.") from None
        except (OSError, ValueError) as error:
            raise BadRequest(f"`gh` cannot be started: {error!s:.200}") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            hint = " Run `gh auth login`." if done.returncode == _SIGNED_OUT else ""
            raise BadRequest(f"`gh {' '.join(words[:3])}` failed: {quoted(said)}.{hint}")
        return done.stdout


def _workflow(told: Any) -> Workflow:
    where = "a run of GitHub's"
    number = part(told, "databaseId", int, where=where)
    commit = part(told, "headSha", str, "", where=where)
    branch = part(told, "headBranch", str, "", where=where)[:200]
    if part(told, "event", str, "", where=where).startswith("pull_request"):
        # What was tested is the merge with the base, a commit that only this run knows.
        revision = revisions.of_merge(commit, branch, str(number))
    else:
        revision = revisions.of_commit(commit, branch) or Revision(digest="", branch=branch)
    return Workflow(
        id=str(number),
        name=part(told, "workflowName", str, "", where=where)[:100],
        revision=revision,
        created_at=timestamp(part(told, "createdAt", str, "", where=where))[0],
        link=part(told, "url", str, "", where=where)[:500],
        finished=part(told, "status", str, "", where=where) == "completed",
    )


def pipeline(run: Workflow, artefact: str) -> Pipeline:
    """Where the tests of an artefact ran; its job has the same name from run to run."""
    return Pipeline(
        provider="GitHub Actions",
        job=f"{run.name}/{artefact}",
        run=run.id,
        branch=run.revision.branch,
        commit=run.revision.commit,
        link=run.link if run.link.startswith("https://") else "",
    )
