"""The door for agents: MCP tools, resources and prompts over the use cases. It translates, never decides."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, cast, get_args
from urllib.parse import quote

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp.types import (
    CallToolResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    ContentBlock,
    PromptReference,
    ResourceLink,
    ResourceTemplateReference,
    TextContent,
    ToolAnnotations,
)
from pydantic import BaseModel, ConfigDict, Field

from pytest_recall import __version__, learning
from pytest_recall.answers import discovery as discovered
from pytest_recall.answers import history as looked_back
from pytest_recall.answers import learnt, resource, views
from pytest_recall.answers import run as ran
from pytest_recall.app import App, Origin
from pytest_recall.errors import RecallError, UnknownTest
from pytest_recall.model import NoteKind, Only, Progress, RunRequest

INSTRUCTIONS = (
    "Runs this project's pytest in its own environment and remembers every run: use run_tests instead of pytest in a "
    "shell, after each edit. Its answer says what failed and why, whether it is new, known or flaky, and what to do next."
)

P = ParamSpec("P")

Project = Annotated[str, Field(description="project folder; '' is the server's own")]
Paths = Annotated[
    list[str],
    Field(description="paths or node ids, e.g. ['tests/test_cart.py::test_total']; [] is everything"),
]
Keyword = Annotated[str, Field(description="-k expression, e.g. 'cart and not slow'")]
Markers = Annotated[str, Field(description="-m expression, e.g. 'not integration'")]
Detail = Annotated[Literal["concise", "full"], Field(description="full: longer texts, locals, more entries")]
Cursor = Annotated[str, Field(description="next_cursor of the last answer")]


def build(make_app: Callable[[], App]) -> MCPServer[App]:
    """The server, ready to be served; *make_app* is called when serving begins."""
    serving: list[App] = []  # completions get no context to find the app in

    @asynccontextmanager
    async def lifespan(_: MCPServer[App]) -> AsyncIterator[App]:
        async with make_app() as app:
            serving.append(app)
            try:
                yield app
            finally:
                serving.remove(app)

    server = MCPServer[App](
        "pytest-recall",
        title="pytest-recall",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        log_level="WARNING",
        tools=[
            _tool(discover_tests, "Discover tests", discovered.DiscoveryAnswer),
            _tool(run_tests, "Run tests", ran.RunAnswer),
            _tool(test_history, "Test history", views.AnyView),  # `verify` runs tests
            _tool(record_note, "Record a note", learnt.NoteAnswer),
        ],
    )
    _add_resources(server)
    _add_prompts(server)
    _add_completions(server, serving)
    return server


async def serve(server: MCPServer[App]) -> None:
    """Serve over stdio until the client closes it or a signal comes; no run survives, and what finished is kept."""
    if sys.platform == "win32":  # no signal receiver there, and hosts end a server by closing its stdin
        await server.run_stdio_async()
        return
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_signal, tasks.cancel_scope)
        await server.run_stdio_async()
        tasks.cancel_scope.cancel()


async def _until_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            # The SDK's reader thread sits in read(0) and can't be interrupted: leave without waiting for it.
            threading.Thread(target=_leave, args=(5.0,), daemon=True).start()
            scope.cancel()
            return


def _leave(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(0)


# --- tools ----------------------------------------------------------------------------------


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
    detail: Detail = "concise",
) -> discovered.DiscoveryAnswer:
    """List the project's tests without running them. Collection errors stand beside what was found.

    Use it to find test ids for run_tests, e.g. paths=['tests/test_cart.py'], group='test'. Use instead of
    `pytest --collect-only`.
    """
    request = RunRequest(tests=tuple(paths), keyword=keyword, markers=markers)
    full = detail == "full"
    found = await _app(ctx).discover(project, request, full=full)
    return discovered.answer(found, group=group, limit=limit, cursor=cursor, full=full)


async def run_tests(
    ctx: Context[App],
    *,
    project: Project = "",
    tests: Paths = [],  # noqa: B006
    keyword: Keyword = "",
    markers: Markers = "",
    only: Annotated[
        Only, Field(description="failed: those whose last outcome was bad; new: those never run")
    ] = "all",
    max_failures: Annotated[int, Field(ge=0, description="stop after so many; 0: never")] = 0,
    timeout_s: Annotated[float, Field(gt=0, le=86_400, description="limit of the whole run")] = 600,
    test_timeout_s: Annotated[float, Field(ge=0, description="limit of one test; 0: none")] = 0,
    parallel: Annotated[
        int, Field(ge=0, le=64, description="xdist workers, where the project has xdist")
    ] = 0,
    repeat: Annotated[int, Field(ge=1, le=1000, description="run the selection so many times")] = 1,
    confirm: Annotated[
        int, Field(ge=0, le=50, description="rerun failures so many times: flaky or real?")
    ] = 0,
    args: Annotated[
        list[str], Field(description="more pytest options, e.g. ['-x', '--lf', '-W', 'error']")
    ] = [],  # noqa: B006
    env: Annotated[dict[str, str], Field(description="environment variables to add")] = {},  # noqa: B006
    intent: Annotated[
        str, Field(max_length=500, description="what was changed or is to be proven; kept")
    ] = "",
    wait_s: Annotated[
        float, Field(ge=0, le=3_600, description="then return status 'running' and a run_id")
    ] = 45,
    run_id: Annotated[str, Field(description="wait for or return that run; starts nothing")] = "",
    detail: Detail = "concise",
) -> ran.RunAnswer:
    """Run the project's tests with its own pytest, isolated: hangs and crashes end in an answer too.

    Failures come grouped by cause, new ones told from known and flaky ones. Use it instead of `pytest` in a shell:
    narrow first, e.g. tests=['tests/test_cart.py'], the whole suite last. Only status 'passed' is green. Status
    'running': call again with run_id.
    """
    app, full = _app(ctx), detail == "full"
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
            args=tuple(args),
            env=tuple(sorted(env.items())),
            intent=intent,
        )
        origin = _origin(ctx)
        job, joined = await app.start(project, request, origin, confirm=confirm)
    started = anyio.current_time()
    if await app.jobs.wait(job, wait_s, owner=not joined, tell=_teller(ctx)):
        return ran.answer(job.outcome(), full=full, joined=joined and not run_id)
    return ran.under_way(job, anyio.current_time() - started, joined=joined and not run_id)


async def test_history(
    ctx: Context[App],
    *,
    project: Project = "",
    view: Annotated[views.View, Field(description="what to look at")] = "summary",
    test: Annotated[str, Field(description="node id, for views 'test' and 'fixes'")] = "",
    run_id: Annotated[
        str, Field(description="for view 'run' and 'compare': a run id, revision or space")
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
        int, Field(ge=0, le=50, description="for view 'flaky': rerun the suspects so often first")
    ] = 0,
    limit: Annotated[int, Field(ge=1, le=500)] = 20,
    cursor: Cursor = "",
    detail: Detail = "concise",
) -> views.HistoryAnswer:
    """What past runs say, without running anything (but for verify): how the project stands (summary), past runs, one run again,
    one test's record, known causes of failure, flaky and slow tests, failures similar to a pasted error text, two
    runs side by side, local against ci, what made failing tests pass (fixes).

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
        origin=_origin(ctx),
        limit=limit,
        cursor=cursor,
        full=detail == "full",
    )
    return await looked_back.ask(_app(ctx), project, query)


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
    app = _app(ctx)
    kept = await learning.note(
        await app.workspaces.get(project),
        about=about,
        kind=kind,
        text=text,
        worked=worked,
        author=_client(ctx),
    )
    return learnt.noted(kept)


def _tool(
    function: Callable[P, Awaitable[BaseModel]],
    title: str,
    answer: type[BaseModel],
    *,
    read_only: bool = False,
) -> Tool:
    """*function* as a tool: unknown arguments refused, our errors readable, one story in text and structure."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        try:
            made = await function(*args, **kwargs)
        except RecallError as error:
            raise ToolError(str(error)) from error
        return _result(made)

    call.__annotations__ = {**function.__annotations__, "return": CallToolResult}
    call.__signature__ = inspect.signature(function, eval_str=True).replace(  # type: ignore[attr-defined]
        return_annotation=CallToolResult
    )
    tool = Tool.from_function(
        call,
        title=title,
        description=inspect.cleandoc(function.__doc__ or ""),
        structured_output=False,  # told below: the SDK would build at every start what no call may need
        annotations=ToolAnnotations(
            read_only_hint=read_only, destructive_hint=False, idempotent_hint=read_only, open_world_hint=False
        ),
    )
    base = tool.fn_metadata.arg_model
    strict: type[BaseModel] = type(
        base.__name__, (base,), {"model_config": ConfigDict(extra="forbid"), "__module__": base.__module__}
    )
    tool.fn_metadata.arg_model = cast("type[ArgModelBase]", strict)
    tool.parameters = _slim(strict.model_json_schema(by_alias=True))
    tool.fn_metadata.output_model = answer
    tool.fn_metadata.output_schema = {"type": "object", **_told(answer)}
    return tool


def _told(answer: type[BaseModel]) -> dict[str, Any]:
    """The schema of *answer*. Of the views only the names: every session pays for each byte of a schema, and they
    speak for themselves. Our own answers are validated in full all the same.
    """
    if issubclass(answer, views.AnyView):
        return {
            "properties": {"view": {"type": "string", "enum": sorted(get_args(views.View))}},
            "required": ["view"],
        }
    return dict(_slim(answer.model_json_schema(), defaults=False))


def _slim(schema: Any, *, defaults: bool = True) -> Any:
    """*schema* without the titles that pydantic derives from names: every session pays for each byte."""
    if isinstance(schema, list):
        return [_slim(value, defaults=defaults) for value in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _slim(value, defaults=defaults) for name, value in inner.items()}
        if key in {"properties", "$defs"}
        else _slim(inner, defaults=defaults)
        for key, inner in schema.items()
        if key != "title" and (defaults or key != "default")
    }


def _result(answer: BaseModel) -> CallToolResult:
    """*answer* as text and as structure, the same in both, with a link to the whole run where there is one."""
    content: list[ContentBlock] = [TextContent(type="text", text=ran.dump(answer))]
    if isinstance(answer, ran.RunAnswer) and answer.run_id and answer.status != "running":
        uri = f"pytest-recall://runs/{quote(answer.run_id)}"
        content.append(
            ResourceLink(type="resource_link", uri=uri, name="the whole run", mime_type="application/json")
        )
    return CallToolResult(
        content=content, structured_content=answer.model_dump(mode="json", exclude_defaults=True)
    )


def _app(ctx: Context[App]) -> App:
    return ctx.request_context.lifespan_context


def _origin(ctx: Context[App]) -> Origin:
    return Origin(space="agent", source="mcp", client=_client(ctx))


def _client(ctx: Context[App]) -> str:
    params = ctx.session.client_params
    return f"{params.client_info.name} {params.client_info.version}"[:100] if params else ""


def _teller(ctx: Context[App]) -> Callable[[Progress], Awaitable[None]]:
    """Reports progress when there is some: rising strictly, as the protocol asks."""
    last = -1.0
    said: Progress | None = None

    async def tell(progress: Progress) -> None:
        nonlocal last, said
        if progress == said:
            return
        last, said = max(float(progress.done), last + 0.001), progress
        total = float(max(progress.total, progress.done)) or None
        message = (
            progress.message
            or f"{progress.done}/{progress.total}, {progress.failed} failed: {progress.current}"
        )
        await ctx.report_progress(last, total, message[:200])

    return tell


# --- resources, prompts, completions --------------------------------------------------------


def _readable(read: Callable[P, Awaitable[str]]) -> Callable[P, Awaitable[str]]:
    """*read* with our errors as the protocol's "no such resource"."""

    @wraps(read)
    async def call(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await read(*args, **kwargs)
        except RecallError as error:
            raise ResourceNotFoundError(str(error)) from error

    return call


def _add_resources(server: MCPServer[App]) -> None:
    @server.resource("pytest-recall://runs/{run_id}", name="run", mime_type="application/json")
    @_readable
    async def run(run_id: str, ctx: Context[App]) -> str:
        """A run, whole and typed."""
        return resource.run((await _app(ctx).report("", run_id)).run)

    @server.resource("pytest-recall://runs/{run_id}/output", name="output", mime_type="text/plain")
    @_readable
    async def output(run_id: str, ctx: Context[App]) -> str:
        """What pytest printed in a run."""
        return resource.output(await _app(ctx).files("", run_id))

    @server.resource("pytest-recall://runs/{run_id}/report", name="report", mime_type="application/json")
    @_readable
    async def report(run_id: str, ctx: Context[App]) -> str:
        """The JSON report of a run, in pytest-json-report's format."""
        return resource.report(await _app(ctx).files("", run_id))

    @server.resource("pytest-recall://tests/{+test_id}", name="test", mime_type="application/json")
    @_readable
    async def test(test_id: str, ctx: Context[App]) -> str:
        """What is known of a test."""
        return resource.test(await _app(ctx).test("", test_id))

    @server.resource("pytest-recall://failures/{fingerprint}", name="failure", mime_type="application/json")
    @_readable
    async def failure(fingerprint: str, ctx: Context[App]) -> str:
        """What is known of a cause of failure."""
        known = await _app(ctx).failures("", fingerprint=fingerprint, limit=1)
        if not known:
            raise UnknownTest(f"No failure has the fingerprint {fingerprint[:80]!r}.")
        return resource.failure(known[0])


def _add_prompts(server: MCPServer[App]) -> None:
    @server.prompt(title="Fix the failing tests")
    def fix_failures(run_id: str = "") -> str:
        """Find the cause of a run's failures and mend it."""
        where = f"test_history(view='run', run_id='{run_id}', detail='full')" if run_id else "run_tests()"
        return (
            f"Call {where}. Take the groups of failures one by one, new ones first; leave those called flaky or "
            "pre_existing to the end. Find the cause in the code, mend the code and not the test, then call "
            "run_tests(tests=[…the group's tests], intent='what you changed'), and the whole suite last."
        )

    @server.prompt(title="Triage flaky tests")
    def triage_flaky() -> str:
        """Go through the flaky tests and say what makes each one so."""
        return (
            "Call test_history(view='flaky'). For each test: test_history(view='test', test=…), then "
            "run_tests(tests=[…], repeat=10, detail='full'). Say what differs between its passing and failing runs "
            "(time, order, shared state, network), and propose a fix; quarantine only what you can't explain."
        )


def _add_completions(server: MCPServer[App], serving: list[App]) -> None:
    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK's own lack
    async def complete(
        _ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        if argument.name != "run_id" or not serving:
            return None
        rows = await serving[0].runs("", limit=100)
        known = [row.id for row in rows if row.id.startswith(argument.value)]
        return Completion(values=known, total=len(known), has_more=False)
