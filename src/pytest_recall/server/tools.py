"""The four tools: each translates its flat arguments, calls one use case and shapes one answer."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from pytest_recall import learning
from pytest_recall.answers import discovery as discovered
from pytest_recall.answers import history as looked_back
from pytest_recall.answers import learnt, views
from pytest_recall.answers import run as ran
from pytest_recall.app import App
from pytest_recall.model import NoteKind, Only, RunRequest
from pytest_recall.server import asking

Project = Annotated[str, Field(description="project folder; '' is the server's own")]
Paths = Annotated[
    list[str],
    Field(description="paths or node ids, e.g. ['tests/test_cart.py::test_total']; [] is everything"),
]
Keyword = Annotated[str, Field(description="-k expression, e.g. 'cart and not slow'")]
Markers = Annotated[str, Field(description="-m expression, e.g. 'not integration'")]
Detail = Annotated[Literal["concise", "full"], Field(description="full: longer texts, locals, more entries")]
Cursor = Annotated[str, Field(description="next_cursor of the last answer")]


async def discover_tests(
    ctx: Context[App],
    *,
    project: Project = "",
    paths: Paths = [],  # noqa: B006 - the schema's default; never changed
    keyword: Keyword = "",
    markers: Markers = "",
    group: Annotated[
        discovered.GroupBy, Field(description="files and their counts, classes, or single tests")
    ] = "file",
    limit: Annotated[int, Field(ge=1, le=1000)] = 200,
    cursor: Cursor = "",
    detail: Annotated[
        Literal["concise", "full"], Field(description="full: markers, parameters, fixtures of group='test'")
    ] = "concise",
) -> discovered.DiscoveryAnswer:
    """List the project's tests without running them. Collection errors stand beside what was found.

    Use it instead of `pytest --collect-only`, and to find ids for run_tests, e.g. paths=['tests/test_cart.py'],
    group='test'.
    """
    request = RunRequest(tests=tuple(paths), keyword=keyword, markers=markers)
    full = detail == "full"
    found = await asking.app(ctx).discover(project, request, full=full)
    return discovered.answer(found, group=group, limit=limit, cursor=cursor, full=full)


async def run_tests(
    ctx: Context[App],
    *,
    project: Project = "",
    tests: Paths = [],  # noqa: B006
    keyword: Keyword = "",
    markers: Markers = "",
    only: Annotated[
        Only,
        Field(
            description="failed: those whose last outcome was bad; new: never run; affected: failed, or reach a changed file"
        ),
    ] = "all",
    max_failures: Annotated[int, Field(ge=0, description="stop after so many; 0: never")] = 0,
    timeout_s: Annotated[float, Field(gt=0, le=86_400, description="limit of the whole run")] = 600,
    test_timeout_s: Annotated[float, Field(ge=0, description="limit of one test; 0: none")] = 0,
    parallel: Annotated[
        int, Field(ge=0, le=64, description="xdist workers, where the project has xdist")
    ] = 0,
    repeat: Annotated[int, Field(ge=1, le=1000, description="run the selection so many times")] = 1,
    confirm: Annotated[
        int,
        Field(
            ge=0,
            le=50,
            description="rerun failures so often, alone and at the base revision: flaky, yours or older?",
        ),
    ] = 0,
    coverage: Annotated[bool, Field(description="measured by the project's own tool")] = False,
    args: Annotated[
        list[str], Field(description="more pytest options, e.g. ['-x', '--lf', '-W', 'error']")
    ] = [],  # noqa: B006
    env: Annotated[dict[str, str], Field(description="environment variables to add")] = {},  # noqa: B006
    intent: Annotated[
        str, Field(max_length=500, description="what was changed or is to be proven; kept")
    ] = "",
    wait_s: Annotated[
        float, Field(ge=0, le=3_600, description="seconds until status 'running' and a run_id are returned")
    ] = 45,
    run_id: Annotated[str, Field(description="wait for or return that run; starts nothing")] = "",
    detail: Detail = "concise",
) -> ran.RunAnswer:
    """Run the project's tests with its own pytest, isolated: hangs and crashes end in an answer too.

    Failures come grouped by cause, new ones told from known and flaky ones. Use it instead of `pytest` in a shell:
    narrow first, e.g. tests=['tests/test_cart.py'], after a fix only='failed', the whole suite last. Only status
    'passed' is green. Status 'running': call again with run_id.
    """
    app, full = asking.app(ctx), detail == "full"
    job = app.jobs.get(run_id) if run_id else None
    if run_id and job is None:
        return ran.answer(await app.report(project, run_id), full=full)
    joined = job is not None
    if job is None:
        request = RunRequest(
            tests=tuple(tests),
            keyword=keyword,
            markers=markers,
            only=only,
            max_failures=max_failures,
            timeout_s=timeout_s,
            test_timeout_s=test_timeout_s,
            parallel=parallel,
            repeat=repeat,
            detail=full,
            coverage=coverage,
            args=tuple(args),
            env=tuple(sorted(env.items())),
            intent=intent,
        )
        origin = asking.origin(ctx)
        job, joined = await app.start(project, request, origin, confirm=confirm)
    started = anyio.current_time()
    if await app.jobs.wait(job, wait_s, owner=not joined, tell=asking.teller(ctx)):
        return ran.answer(job.outcome(), full=full, joined=joined and not run_id)
    return ran.under_way(job, anyio.current_time() - started, joined=joined and not run_id)


async def test_history(
    ctx: Context[App],
    *,
    project: Project = "",
    view: views.View = "summary",
    test: Annotated[str, Field(description="node id, for views 'test', 'fixes' and 'flaky'")] = "",
    run_id: Annotated[
        str,
        Field(description="for views 'run' and 'compare' (there a revision or space too); '' is the last"),
    ] = "",
    base_run_id: Annotated[
        str, Field(description="what to compare with; '' is the last comparable run")
    ] = "",
    text: Annotated[str, Field(max_length=20_000, description="error text, for view 'similar'")] = "",
    fingerprint: Annotated[
        str, Field(description="one cause, for views 'failures' and 'fixes', e.g. 'fp1:9c2e…'")
    ] = "",
    since: Annotated[str, Field(description="'12h', '7d' or a date")] = "",
    space: Literal["", "local", "ci", "agent"] = "",
    verify: Annotated[
        int,
        Field(
            ge=0,
            le=50,
            description="runs tests first, so often: 'flaky' its suspects, 'fixes' with each fix undone",
        ),
    ] = 0,
    reconcile: Annotated[bool, Field(description="collect first, and mark tests that are gone")] = False,
    limit: Annotated[int, Field(ge=1, le=500)] = 20,
    cursor: Cursor = "",
    detail: Detail = "concise",
) -> views.HistoryAnswer:
    """What past runs say, without running anything (but for verify and reconcile).

    Views: summary: how the project stands. runs: the past ones. run: one again. test: one test's record. failures:
    known causes. flaky. slow. similar: failures like a pasted error text. compare: two runs, revisions or spaces
    side by side. spaces: local against ci. fixes: what made failing tests pass.

    Use it before hunting a failure: it may be known, flaky or older than your change. E.g. view='test',
    test='tests/test_cart.py::test_total'.
    """
    query = looked_back.Query(
        view=view,
        test=test,
        run_id=run_id,
        base_run_id=base_run_id,
        text=text,
        fingerprint=fingerprint,
        since=since,
        space=space,
        verify=verify,
        reconcile=reconcile,
        origin=asking.origin(ctx),
        limit=limit,
        cursor=cursor,
        full=detail == "full",
    )
    return await looked_back.ask(asking.app(ctx), project, query)


async def record_note(
    ctx: Context[App],
    *,
    project: Project = "",
    about: Annotated[str, Field(description="test id, fingerprint, run id, or a note's id")],
    kind: Annotated[NoteKind, Field(description="outcome: of a suggestion")] = "diagnosis",
    text: Annotated[str, Field(max_length=4_000, description="one sentence")] = "",
    worked: Annotated[bool | None, Field(description="null: not known")] = None,
) -> learnt.NoteAnswer:
    """Keep what you found out about a failure; it comes back when that test or cause fails again.

    E.g. about='fp1:9c2e…', kind='remedy', text='the fixture closes the session: use db_session'. Secrets are taken
    out. Later, how it worked: about=the note's id, kind='outcome', worked=true.
    """
    app = asking.app(ctx)
    kept = await learning.note(
        await app.workspaces.get(project),
        about=about,
        kind=kind,
        text=text,
        worked=worked,
        author=asking.client(ctx),
    )
    return learnt.noted(kept)
