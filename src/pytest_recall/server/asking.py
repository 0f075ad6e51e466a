"""Who asks and through what: the use cases, the client's name and the way back for progress of one request."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mcp.server.mcpserver import Context

from pytest_recall.app import App, Origin
from pytest_recall.model import Progress


def app(ctx: Context[App]) -> App:
    return ctx.request_context.lifespan_context


def log(*arguments: object) -> logging.Logger:
    """Our own log, found through the context among a tool's *arguments*."""
    ctx = next((one for one in arguments if isinstance(one, Context)), None)
    return app(ctx).workspaces.log if ctx else logging.getLogger("pytest-recall")


def origin(ctx: Context[App]) -> Origin:
    return Origin(space="agent", source="mcp", client=client(ctx))


def client(ctx: Context[App]) -> str:
    params = ctx.session.client_params
    return f"{params.client_info.name} {params.client_info.version}"[:100] if params else ""


def teller(ctx: Context[App]) -> Callable[[Progress], Awaitable[None]]:
    """Reports progress when there is some: rising strictly, as the protocol asks."""
    last = -1.0
    said: Progress | None = None

    async def tell(progress: Progress) -> None:
        nonlocal last, said
        if progress == said:
            return
        last, said = max(float(progress.done), last + 0.001), progress
        total = float(max(progress.total, progress.done)) or None
        await ctx.report_progress(last, total, _words(progress)[:200])

    return tell


def _words(progress: Progress) -> str:
    if progress.message or not progress.total:
        return progress.message or "starting"
    now = f": {progress.current}" if progress.current else ""
    return f"{progress.done}/{progress.total}, {progress.failed} failed{now}"
