"""The form of a tool: unknown arguments refused, errors that teach, one story in text and structure, a lean schema."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast, get_args
from urllib.parse import quote

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp.types import CallToolResult, ContentBlock, ResourceLink, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_recall.answers import run as ran
from pytest_recall.answers import views
from pytest_recall.errors import RecallError, quoted
from pytest_recall.server import asking

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context
    from pydantic_core import ErrorDetails

P = ParamSpec("P")

_MOST_ERRORS = 3  # of one call


class _Taught(Tool):
    """A tool that says what is wrong with its arguments in few words: pydantic's own name neither what there is nor an example."""

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,  # noqa: FBT001, FBT002 - the SDK's signature
    ) -> Any:
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = error.__cause__.errors(include_url=False)[:_MOST_ERRORS]
            said = " ".join(self._said(one) for one in wrong)
            raise ToolError(f"Error executing tool {self.name}: {said}") from error

    def _said(self, wrong: ErrorDetails) -> str:
        known: dict[str, dict[str, Any]] = self.parameters["properties"]
        name, where = str(wrong["loc"][0]), ".".join(map(str, wrong["loc"]))
        if wrong["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            return f"There is no argument {quoted(name)}; {hint}{self.name} takes {', '.join(known)}."
        about = known.get(name, {}).get("description", "")
        told = f" ({about})" if about else ""
        if wrong["type"] == "missing":
            return f"The argument {name!r} is needed{told}."
        return f"{where}={quoted(wrong['input'])}: {wrong['msg'].replace('Input should', 'it should')}{told}."


def tool(
    function: Callable[P, Awaitable[BaseModel]],
    title: str,
    answer: type[BaseModel],
) -> Tool:
    """*function* as a tool: unknown arguments refused, our errors readable, one story in text and structure."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        log, began = partial(asking.log, *args, *kwargs.values()), time.monotonic()
        try:
            answered = await function(*args, **kwargs)
        except RecallError as error:
            log().info("%s refused: %s", function.__name__, error)
            raise ToolError(str(error)) from error
        except Exception:  # the SDK tells the client no more than that there was one
            log().exception("%s", function.__name__)
            raise
        log().debug("%s answered in %.3f s", function.__name__, time.monotonic() - began)
        return result(answered)

    call.__annotations__ = {**function.__annotations__, "return": CallToolResult}
    call.__signature__ = inspect.signature(function, eval_str=True).replace(  # type: ignore[attr-defined]
        return_annotation=CallToolResult
    )
    made = _Taught.from_function(
        call,
        title=title,
        description=inspect.cleandoc(function.__doc__ or ""),
        structured_output=False,  # told below: the SDK would build at every start what no call may need
        # Neither read-only nor idempotent, by the protocol's default: `verify` runs tests, and collecting imports them.
        annotations=ToolAnnotations(destructive_hint=False, open_world_hint=False),
    )
    base = made.fn_metadata.arg_model
    strict: type[BaseModel] = type(
        base.__name__, (base,), {"model_config": ConfigDict(extra="forbid"), "__module__": base.__module__}
    )
    made.fn_metadata.arg_model = cast("type[ArgModelBase]", strict)
    made.parameters = _slim(strict.model_json_schema(by_alias=True))
    made.fn_metadata.output_model = answer
    made.fn_metadata.output_schema = {"type": "object", **_told(answer)}
    return made


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
    if not defaults and "anyOf" in schema:  # nothing, where that is the default, is left out
        [kind] = [one for one in schema["anyOf"] if one != {"type": "null"}]
        schema = {**{key: value for key, value in schema.items() if key != "anyOf"}, **kind}
    return {
        key: {name: _slim(value, defaults=defaults) for name, value in inner.items()}
        if key in {"properties", "$defs"}
        else _slim(inner, defaults=defaults)
        for key, inner in schema.items()
        if key != "title" and (defaults or key != "default")
    }


def result(answer: BaseModel) -> CallToolResult:
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
