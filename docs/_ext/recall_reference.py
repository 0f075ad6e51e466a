"""The reference, made from the code: ```{from-code} tools``` and its like stand where the text is to be.

Each text is Markdown from one function, so that nothing in the reference can be another thing than what is shipped.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, get_args, get_type_hints

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pytest_recall import cli, config, errors, logbook, model, server
from pytest_recall.answers import discovery, doctor, learnt, run, views
from pytest_recall.app import App
from pytest_recall.cli.door import Commands
from pytest_recall.install.clients import CLIENTS, NAME, Machine
from pytest_recall.install.launch import Launch, entry
from pytest_recall.running import events as facts
from pytest_recall.store import codec, journal, records


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; what a cell may not hold is escaped."""
    heads = list(heads)
    lines = [
        heads,
        ["---"] * len(heads),
        *([re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


# --- the agents' door -----------------------------------------------------------------------


@cache
def _built() -> Any:
    return server.build(lambda: App(flags={}, environ={}, default=Path()))


def tools() -> str:
    """Every tool: its text, its parameters, and all fields of its answer."""
    parts = []
    answers = {
        "discover_tests": [discovery.DiscoveryAnswer],
        "run_tests": [run.RunAnswer],
        "record_note": [learnt.NoteAnswer],
    }
    for tool in asyncio.run(_built().list_tools()):
        parts.append(f"## `{tool.name}`\n\n{tool.description}\n")
        rows = [
            (code(name), _kind(one), code(_json(one.get("default", ""))), _limits(one))
            for name, one in tool.input_schema["properties"].items()
        ]
        parts.append(table(("parameter", "type", "default", "what it is"), rows))
        parts += [_answer(answer) for answer in answers.get(tool.name, _views())]
    return "\n".join(parts)


def _views() -> list[type[BaseModel]]:
    return list(get_args(get_args(views.AnyView.model_fields["root"].annotation)[0])) or list(
        get_args(views.AnyView.model_fields["root"].annotation)
    )


def _answer(answer: type[BaseModel]) -> str:
    """All fields of *answer* and of what it is made of, each shape once."""
    schema = answer.model_json_schema(mode="serialization")
    shapes = {answer.__name__: schema, **schema.get("$defs", {})}
    known = _ANSWERED.setdefault("shapes", set())
    parts = [f"### {answer.__name__}\n" if answer.__name__ in shapes else ""]
    for name, shape in shapes.items():
        if name in known or "properties" not in shape:
            continue
        known.add(name)
        if name != answer.__name__:
            parts.append(f"#### {name}\n")
        if shape.get("description"):
            parts.append(shape["description"] + "\n")
        rows = [(code(field), _kind(one), _limits(one)) for field, one in shape["properties"].items()]
        parts.append(table(("field", "type", "what it is"), rows))
    return "\n".join(parts)


_ANSWERED: dict[str, set[str]] = {}


def _kind(schema: dict[str, Any]) -> str:
    match schema:
        case {"$ref": ref}:
            kind = ref.rpartition("/")[2]
        case {"const": value}:
            kind = code(_json(value))
        case {"enum": values}:
            kind = ", ".join(code(_json(value)) for value in values)
        case {"anyOf": kinds}:
            kind = " or ".join(_kind(one) for one in kinds)
        case {"type": "array"}:
            kind = f"list of {_kind(schema.get('items', {}))}"
        case {"additionalProperties": dict(values)}:
            kind = f"object of {_kind(values)}"
        case _:
            kind = str(schema.get("type", "any"))
    return kind


def _limits(schema: dict[str, Any]) -> str:
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "maxLength": "characters ≤"}
    found = [f"{sign} {schema[name]:,}" for name, sign in limits.items() if name in schema]
    return "; ".join([*([schema["description"]] if schema.get("description") else []), *found])


def _json(value: object) -> str:
    return '""' if value == "" else str(value)


def prompts() -> str:
    """Prompts with their arguments, and resources."""
    made = _built()
    rows = [
        (
            code(one.name),
            str(one.description),
            ", ".join(f"`{a.name}` ({a.description})" for a in one.arguments or ()),
        )
        for one in asyncio.run(made.list_prompts())
    ]
    resources = [
        (code(one.uri_template), str(one.description), str(one.mime_type))
        for one in asyncio.run(made.list_resource_templates())
    ]
    return "\n".join(
        (
            table(("prompt", "what it does", "arguments"), rows),
            table(("resource", "what it is", "type"), resources),
        )
    )


def instructions() -> str:
    """What the server says of itself."""
    return "> " + server.INSTRUCTIONS + "\n"


# --- the command line -----------------------------------------------------------------------


def commands() -> str:
    """Every command's own help."""
    parser = argparse.ArgumentParser(prog="pytest-recall")
    parsers = parser.add_subparsers()
    for family in cli.FAMILIES:
        family.add(Commands(parsers))
    parts = []
    for name, one in parsers.choices.items():
        one.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100, max_help_position=32)
        parts.append(f"## `pytest-recall {name}`\n\n```text\n{one.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def exit_codes() -> str:
    """Errors and what a command ends with."""
    classes = [
        one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.RecallError)
    ]
    return table(
        ("error", "exit code", "when"),
        [(code(one.__name__), str(one.exit_code), _doc(one)) for one in classes],
    )


def _doc(one: Any) -> str:
    return inspect.cleandoc(one.__doc__ or "").partition("\n\n")[0]


def clients() -> str:
    """Where each client keeps its servers, on each platform, and the entry that is written there."""
    launch = Launch(command="/home/me/.local/bin/pytest-recall")
    parts = []
    for client in CLIENTS.values():
        if not client.scopes:
            continue
        parts.append(f"## {client.title}\n")
        command = f"pytest-recall install {client.name}"
        if not client.follows and not client.project:
            command += " --for FOLDER"
        parts.append(f"```sh\n{command}\n```\n\n{client.then}\n")
        rows = [(name, code(client.user(machine))) for name, machine in MACHINES.items() if client.user]
        rows += [("in a project (`--scope project`)", code(client.project))] if client.project else []
        parts.append(table(("", "its file"), rows))
        scope = client.scope
        made = entry(client, scope, launch, project="" if client.follows else "/home/me/shop")
        parts.append(f"What is written there, in {scope} scope:\n")
        parts.append(_shown(client.form, [*client.keys, NAME], made))
    return "\n".join(parts)


MACHINES = {
    "Linux": Machine(platform="linux", home=PurePosixPath("~"), environ={}),
    "macOS": Machine(platform="darwin", home=PurePosixPath("~"), environ={}),
    "Windows": Machine(
        platform="win32",
        home=PureWindowsPath(r"C:\Users\me"),
        environ={"APPDATA": r"C:\Users\me\AppData\Roaming"},
    ),
}


def _shown(form: str, keys: list[str], made: dict[str, Any]) -> str:
    if form == "toml":
        lines = [f"[{'.'.join(keys)}]", *(f"{key} = {json.dumps(value)}" for key, value in made.items())]
        return "\n".join(["```toml", *lines, "```", ""])
    whole: Any = made
    for key in reversed(keys):
        whole = {key: whole}
    return f"```json\n{json.dumps(whole, indent=2)}\n```\n"


# --- settings -------------------------------------------------------------------------------


def settings() -> str:
    """Every setting, its variable, its default."""
    rows = []
    for name, field in config.Settings.model_fields.items():
        default = "" if field.default in ("", ()) else field.default
        refused = " *(not from a project's own files)*" if name in config.SERVER_ONLY else ""
        rows.append(
            (code(name), code(config.PREFIX + name.upper()), code(default), f"{field.description}{refused}")
        )
    return table(("setting", "variable", "default", "what it is"), rows)


# --- what doctor finds ----------------------------------------------------------------------


def findings() -> str:
    """Each problem that doctor can name, with its remedy, as the code has them."""
    rows = []
    for call in ast.walk(ast.parse(inspect.getsource(doctor))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Problem":
            words = {key.arg: _words(key.value) for key in call.keywords}
            rows.append((words["what"], words["found"], words["remedy"]))
    return table(("looking at", "it says", "do this"), rows)


def _words(node: ast.expr) -> str:
    """The text of a string expression, with `…` for what is only known when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub(r"(… ?)+", "… ", "".join(_words(part) for part in parts)).strip()
        case ast.Call(args=[first, *_]):
            return _words(first)
        case _:
            return "…"


# --- the stream of facts, and the store -----------------------------------------------------


def events() -> str:
    """The facts of the probe's stream, as they are read."""
    source = inspect.getsource(facts)
    parts = []
    for kind, reader in facts._READERS.items():  # noqa: SLF001 - the reference's business
        made = re.findall(r"return (\w+)\(", inspect.getsource(reader))
        event = next((getattr(facts, name) for name in made if name in _unions(facts.Event)), None)
        if event is None:
            raise LookupError(f"what the fact {kind!r} becomes is not told by {reader.__name__}")
        parts.append(f"## `{kind}` → {event.__name__}\n\n{_own_doc(event)}")
        rows = [(code(n), _hint(h), c) for n, h, c in _annotated(event, source)]
        parts.append(table(("field", "type", ""), rows) if rows else "")
    parts.append(f"## Fault\n\n{_doc(facts.Fault)}\n")
    parts.append(
        table(("field", "type", ""), [(code(n), _hint(h), c) for n, h, c in _annotated(facts.Fault, source)])
    )
    return "\n".join(parts)


def _unions(union: Any) -> set[str]:
    return {one.__name__ for one in get_args(union)}


def _own_doc(one: Any) -> str:
    """Its docstring, unless it is the one that named tuples get by themselves."""
    text = _doc(one)
    return "" if text.startswith(f"{one.__name__}(") else text + "\n"


def _annotated(shape: Any, source: str = "") -> Iterator[tuple[str, Any, str]]:
    """Name, type and comment of each field of a class, as its source has them."""
    text = source or inspect.getsource(inspect.getmodule(shape) or shape)
    body = next(
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == shape.__name__
    )
    hints = get_type_hints(shape)
    lines = text.splitlines()
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            ends = lines[(node.end_lineno or node.lineno) - 1]
            yield node.target.id, hints[node.target.id], ends.partition("  # ")[2]


def _hint(hint: Any) -> str:
    if isinstance(hint, types.GenericAlias) and hint.__origin__ is tuple:
        inner = [one for one in get_args(hint) if one is not Ellipsis]
        return ("list of " if Ellipsis in get_args(hint) else "") + " + ".join(_hint(one) for one in inner)
    if isinstance(hint, type):
        return hint.__name__
    if isinstance(hint, types.UnionType):
        return " or ".join(_hint(one) for one in get_args(hint))
    return str(hint).replace("typing.", "")


def store() -> str:
    """Where everything lies, from the modules that put it there."""
    parts = [_module(journal), "## A run as bytes\n", _module(codec), "## In Chroma\n", _module(records)]
    parts.append(f"Collections: {', '.join(code(kind) for kind in _chroma_kinds())}.\n")
    parts += ["## Our own log\n", _module(logbook)]
    return "\n".join(parts)


def _module(module: Any) -> str:
    """A module's docstring as Markdown: what is indented in it stays as it is."""
    first, _, rest = inspect.getdoc(module).partition("\n\n")
    out: list[str] = [first, ""]
    for block in rest.split("\n\n"):
        if block.startswith("    "):
            out += ["```text", inspect.cleandoc(block), "```", ""]
        else:
            out += [block.replace("\n", " "), ""]
    return "\n".join(out)


def _chroma_kinds() -> tuple[str, ...]:
    """Read, not imported: chromadb takes seconds."""
    path = Path(journal.__file__).with_name("chroma.py")
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "KINDS":
            return tuple(ast.literal_eval(node.value))
    raise LookupError("chroma.py has no KINDS")


def record() -> str:
    """The shape of a run: every value of the domain that a kept run is made of."""
    parts = []
    for name, one in vars(model).items():
        if is_dataclass(one) and isinstance(one, type) and one.__module__ == model.__name__:
            optional = {
                f.name for f in fields(one) if f.default is not MISSING or f.default_factory is not MISSING
            }
            parts.append(f"### {name}\n\n{inspect.cleandoc(one.__doc__ or '')}\n")
            rows = [(code(n), _hint(h), "" if n in optional else "always", c) for n, h, c in _annotated(one)]
            if rows:
                parts.append(table(("field", "type", "there", ""), rows))
    return "\n".join(parts)


TEXTS: dict[str, Callable[[], str]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        clients,
        tools,
        prompts,
        instructions,
        commands,
        exit_codes,
        settings,
        findings,
        events,
        store,
        record,
    )
}


class FromCode(SphinxDirective):
    """```{from-code} NAME```: the text of that name, made anew at every build."""

    required_arguments = 1
    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        _ANSWERED.clear()
        return self.parse_text_to_nodes(TEXTS[self.arguments[0]](), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("from-code", FromCode)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
