"""Settings: read once from flags, environment, the project's `.env` and `pyproject.toml`, in that order.

A project within a git work tree has those of the nearest folder above it, as far as the work tree's root, that sets
something of ours: who asks from a subfolder has the same project in mind.

What a project's own files may not decide (which folders a server may work in, which arguments it
accepts) is taken from flags and environment only.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from pytest_recall.errors import BadSetting, listed, quoted

PREFIX = "PYTEST_RECALL_"

# Names that people know from Chroma's own tools, and what they set here.
FOREIGN = {"CHROMA_HTTP_URL": "store", "CHROMA_DB_PATH": "store_folder"}
_KIND, _ADDRESS = "CHROMA_DB_IMPL", "CHROMA_HTTP_URL"
_EMBEDDED = frozenset({"persistent", "local", "sqlite", "duckdb+parquet", "embedded"})

# What widens a server's reach, or makes it write or send elsewhere.
SERVER_ONLY = frozenset(
    {"allow_root", "allow_any_args", "embedding", "http_token", "project", "metrics_file", "metrics_push"}
)


def _number(value: object) -> object:
    """*value*, unless it is a truth value: to Python that is a number, and `timeout_s = true` one second."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number, not a truth value")
    return value


_Path = Annotated[str, AfterValidator(os.path.expanduser)]  # no shell does it in a file
_Int = Annotated[int, BeforeValidator(_number)]
_Float = Annotated[float, BeforeValidator(_number)]


class Settings(BaseModel):
    """Every setting, with its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: Annotated[_Path, Field(description="folder of the target project")] = ""
    python: Annotated[_Path, Field(description="interpreter that runs the project's tests")] = ""
    allow_root: Annotated[
        tuple[_Path, ...], Field(description="folders that projects may lie in; default: the project's")
    ] = ()
    allow_any_args: Annotated[bool, Field(description="accept every pytest option from a caller")] = False
    store: Annotated[
        str, Field(description="'embedded', an http(s):// address of a Chroma server, or 'cloud'")
    ] = "embedded"
    store_folder: Annotated[
        _Path, Field(description="where runs are kept; default: <project>/.pytest-recall")
    ] = ""
    store_project: Annotated[
        str,
        Field(
            description="what tells projects apart on a Chroma server; default: the name of the main folder"
        ),
    ] = ""
    store_token: Annotated[
        str, Field(description="sent to the Chroma server as a bearer token", repr=False)
    ] = ""
    chroma_tenant: Annotated[str, Field(description="Chroma Cloud tenant")] = ""
    chroma_database: Annotated[str, Field(description="database on the Chroma server or in its cloud")] = ""
    chroma_api_key: Annotated[str, Field(description="Chroma Cloud key", repr=False)] = ""
    embedding: Annotated[
        str, Field(description="a Chroma embedding function, and its configuration in JSON; default: our own")
    ] = ""
    space: Annotated[
        Literal["", "local", "ci", "agent"],
        Field(description="where these runs belong; default: told from who asks"),
    ] = ""
    http_token: Annotated[
        str,
        Field(description="who brings it may use `serve --http`; default: a new one each time", repr=False),
    ] = ""
    timeout_s: Annotated[_Float, Field(gt=0, le=86_400, description="limit of one run, seconds")] = 600.0
    runs_at_once: Annotated[_Int, Field(ge=1, le=64, description="runs of one server side by side")] = 2
    keep_runs: Annotated[_Int, Field(ge=10, description="how many runs the journal keeps")] = 2_000
    keep_days: Annotated[_Int, Field(ge=1, description="how long the journal keeps a run")] = 365
    keep_mb: Annotated[_Int, Field(ge=10, description="how large the journal may grow")] = 1_000
    metrics_file: Annotated[
        _Path, Field(description="a .prom file for node_exporter, written after every run")
    ] = ""
    metrics_push: Annotated[str, Field(description="a Pushgateway that is told after every run")] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="of our own log, logs/pytest-recall.log in the store's folder"),
    ] = "info"

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each value that is no default came from: setting → "PYTEST_RECALL_STORE in the environment", …"""
        return self._origins

    @classmethod
    def load(
        cls, project: Path, *, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str]
    ) -> Self:
        """The settings for *project*; `flags` holds the command line's values (None: not given).

        Raises:
            BadSetting: an unknown key (with the nearest known one) or a value of the wrong kind, and where.
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        given = {key: value for key, value in (flags or {}).items() if value not in (None, (), [])}
        pyproject, table = _nearest(project, "pyproject.toml", _table)
        dotenv, ours = _nearest(project, ".env", _ours)
        for layer in (
            _of_file(_from_table(table, str(pyproject)), pyproject, project),
            _of_file(_from_environment(ours, str(dotenv)), dotenv, project),
            _from_environment(environ, "the environment"),
            {key: (value, "the command line") for key, value in given.items()},
        ):
            values |= {key: value for key, (value, _) in layer.items()}
            origins |= {key: origin for key, (_, origin) in layer.items()}
        if isinstance(kind := values.get("store"), _Kind):
            sources = ((environ, "the environment"), (ours, str(dotenv)))
            values["store"], origins["store"] = _place(kind.said, origins["store"], sources)
        if isinstance(where := values.get("store"), str):
            values["store"] = _address(where, origins["store"])
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = str(first["loc"][0])
            raise BadSetting(
                f"Setting {key!r} from {origins.get(key, 'the defaults')}: {first['msg']}; got {quoted(first['input'])}."
            ) from None
        settings._origins.update(origins)  # noqa: SLF001 - our own
        return settings


_Layer = dict[str, tuple[Any, str]]  # setting → its value, and where that came from


class _Kind(NamedTuple):
    """A kind of store, in place of the store: what it needs may stand in another layer, and one may overrule it."""

    said: str


def _nearest(project: Path, name: str, read: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The file of that name that sets something of ours, nearest to *project*, and what it sets."""
    for folder in _upwards(project):
        if values := read(folder / name):
            return folder / name, values
    return project / name, {}


def _upwards(project: Path) -> Sequence[Path]:
    """The project's folder and those above it, as far as the root of its work tree; without git itself alone."""
    folders = (project, *project.parents)
    root = next((at for at, folder in enumerate(folders) if os.path.lexists(folder / ".git")), 0)
    return folders[: root + 1]


def _of_file(values: _Layer, path: Path, project: Path) -> _Layer:
    """*values* of a project's own file, which may not say everything; paths count from where the file is."""
    if refused := SERVER_ONLY & set(values):
        raise BadSetting(
            f"{path} sets {listed(sorted(refused))}: a project's own files may not widen what the server may do. "
            "Pass it on the command line or in the environment."
        )
    if path.parent == project:
        return values
    return {key: (_from(path.parent, key, value), origin) for key, (value, origin) in values.items()}


def _from(folder: Path, key: str, value: object) -> object:
    """*value*, if it is a path, from *folder*; an interpreter may also be one on PATH."""
    if not isinstance(value, str) or not value:
        return value
    there = str(folder / os.path.expanduser(value))  # noqa: PTH111 - Path.expanduser raises where there is no home
    return there if key == "store_folder" or (key == "python" and os.path.lexists(there)) else value


def _table(path: Path) -> dict[str, Any]:
    try:
        tool = tomllib.loads(path.read_text("utf-8")).get("tool", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}  # its absence is normal, and a broken one is pytest's to report
    if not isinstance(tool, dict):
        return {}
    if "pytest_recall" in tool:
        raise BadSetting(f"{path}: [tool.pytest_recall] is not read. Call it [tool.pytest-recall].")
    table = tool.get("pytest-recall", {})
    if not isinstance(table, dict):
        raise BadSetting(f"{path}: [tool.pytest-recall] must be a table.")
    return table


def _ours(path: Path) -> dict[str, Any]:
    """What a `.env` sets of ours, or of Chroma's."""
    try:
        # Most of it is for others, in whatever encoding: our own names are ASCII.
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value and _is_ours(name)}


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) or name in FOREIGN or name == _KIND


def _from_table(table: Mapping[str, Any], path: str) -> _Layer:
    return {
        _known(key.replace("-", "_"), key, path): (value, f"{path} [tool.pytest-recall]")
        for key, value in table.items()
    }


def _from_environment(environ: Mapping[str, str], origin: str) -> _Layer:
    values: _Layer = {
        FOREIGN[name]: (environ[name], f"{name} in {origin}") for name in FOREIGN if environ.get(name)
    }
    own: _Layer = {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and text:
            key = _known(name.removeprefix(PREFIX).lower(), name, origin)
            value = tuple(text.split(os.pathsep)) if key == "allow_root" else text
            own[key] = (value, f"{name} in {origin}")
    if "store" not in own:
        values |= _kind(environ, origin)
    return values | own


def _kind(environ: Mapping[str, str], origin: str) -> _Layer:
    """What `CHROMA_DB_IMPL` says of the store."""
    kind = environ.get(_KIND, "").strip().lower()
    if not kind or (kind == "http" and environ.get(_ADDRESS)):
        return {}
    store = "cloud" if kind == "cloud" else "embedded" if kind in _EMBEDDED else _Kind(kind)
    return {"store": (store, f"{_KIND} in {origin}")}


def _place(kind: str, where: str, sources: Iterable[tuple[Mapping[str, str], str]]) -> tuple[str, str]:
    """The address of a store of that kind, which *where* asks for, and which of *sources* has it."""
    if kind != "http":
        raise BadSetting(
            f"{where} is {quoted(kind)}. Valid: 'persistent' (on this disk), 'http' with {_ADDRESS}, 'cloud'; or "
            f"leave it out and set {PREFIX}STORE."
        )
    for environ, origin in sources:
        for name in (f"{PREFIX}STORE", _ADDRESS):
            if "://" in environ.get(name, ""):
                return environ[name], f"{name} in {origin}"
    raise BadSetting(f"{where} is 'http', and {_ADDRESS} does not say where. Set that too.")


def _address(said: str, origin: str) -> str:
    """*said* as it was meant. An address is never shown where it is refused: there may be a secret in it."""
    said = said.strip()
    scheme, at, rest = said.partition("://")
    if not at or scheme.lower() not in ("http", "https"):
        return said
    wrong = ""
    try:
        parts = urlsplit(said)
        if parts.username is not None:
            wrong = f"has a user or a password in it. Leave that out, and set {PREFIX}STORE_TOKEN: it is sent as a bearer token"
        elif parts.query or parts.fragment:
            wrong = "has a query or a fragment in it, which no server's address has"
        elif not parts.hostname or parts.port == 0:
            wrong = "names no server"
    except ValueError:
        wrong = "cannot be read: its port is no number, or it has a bracket too few"
    if wrong:
        raise BadSetting(f"The address of the store from {origin} {wrong}. Valid: http(s)://host:port/path.")
    return f"{scheme.lower()}://{rest}"


def _known(key: str, written: str, origin: str) -> str:
    if key in Settings.model_fields:
        return key
    near = difflib.get_close_matches(key.lower(), Settings.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"Known: {listed(Settings.model_fields, most=30)}."
    raise BadSetting(f"Unknown setting {quoted(written)} in {origin}; {hint}")
