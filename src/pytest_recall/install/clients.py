"""The clients: where each keeps its servers on each platform, in which form, and what it knows of the project."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from pytest_recall.errors import BadRequest, listed, quoted

Scope = Literal["user", "project"]

NAME = "pytest-recall"  # of our entry, in every client


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the places depend on, as a value: the paths of any platform can be had on any other."""

    platform: str  # as sys.platform has it
    home: PurePath
    environ: Mapping[str, str]
    packages: tuple[str, ...] = ()  # Windows: names of installed packages, folders of %LOCALAPPDATA%\Packages

    def named(self, variable: str, default: PurePath) -> PurePath:
        """The absolute folder that an environment variable names, else *default*."""
        path = type(default)(self.environ.get(variable) or default)
        return path if path.is_absolute() else default

    @property
    def settings(self) -> PurePath:
        """Where this platform's programs keep their user's settings."""
        if self.platform == "win32":
            return self.named("APPDATA", self.home / "AppData" / "Roaming")
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        return self.named("XDG_CONFIG_HOME", self.home / ".config")

    @property
    def minimal_path(self) -> str:
        """The PATH of a program that was started from the desktop."""
        if self.platform == "win32":
            system = self.environ.get("SYSTEMROOT", r"C:\Windows")
            return rf"{system}\System32;{system}"
        return "/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client's habits."""

    name: str
    title: str
    keys: tuple[str, ...] = ("mcpServers",)  # the way to the table of servers
    form: Literal["json", "toml"] = "json"
    user: Callable[[Machine], PurePath] | None
    project: str = ""  # the file, from the project's root; "": there is none
    variable: str = ""  # the project's folder, in a project's file
    follows: bool = True  # a server of the user's file is started in the folder that is open
    terminal: bool = False  # is started from a shell, and has its PATH
    extra: Mapping[str, Any] = field(default_factory=dict)  # what an entry has beside command and args
    then: str = ""  # what is left to do in the client

    @property
    def scopes(self) -> tuple[Scope, ...]:
        user: tuple[Scope, ...] = ("user",) if self.user else ()
        return (*user, "project") if self.project else user

    @property
    def scope(self) -> Scope:
        """The scope in which a server knows its project without being told."""
        return "user" if self.follows or not self.project else "project"


def _desktop(machine: Machine) -> PurePath:
    """Since 2026 Claude's installer for Windows is a package, whose roaming folder is its own."""
    local = machine.named("LOCALAPPDATA", machine.home / "AppData" / "Local")
    folder = machine.settings
    for package in machine.packages:
        if package.startswith("Claude_"):
            folder = local / "Packages" / package / "LocalCache" / "Roaming"
    return folder / "Claude" / "claude_desktop_config.json"


def _zed(machine: Machine) -> PurePath:
    if machine.platform == "darwin":
        return machine.home / ".config" / "zed" / "settings.json"
    return machine.settings / ("Zed" if machine.platform == "win32" else "zed") / "settings.json"


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client(
            name="claude-code",
            title="Claude Code",
            user=lambda machine: machine.named("CLAUDE_CONFIG_DIR", machine.home) / ".claude.json",
            project=".mcp.json",  # its variable is not set yet when the file is read; the server gets it
            terminal=True,
            extra={"type": "stdio"},
            then="Start Claude Code anew; /mcp shows the server. It asks once about a project's own file.",
        ),
        Client(
            name="claude-desktop",
            title="Claude Desktop",
            user=_desktop,
            follows=False,
            then="Quit Claude Desktop and start it again.",
        ),
        Client(
            name="cursor",
            title="Cursor",
            user=lambda machine: machine.home / ".cursor" / "mcp.json",
            project=".cursor/mcp.json",
            variable="${workspaceFolder}",
            follows=False,
            then="Switch the server on in Cursor's settings, under MCP.",
        ),
        Client(
            name="vscode",
            title="VS Code",
            keys=("servers",),
            user=lambda machine: machine.settings / "Code" / "User" / "mcp.json",
            project=".vscode/mcp.json",
            variable="${workspaceFolder}",  # not resolved in the user's file
            follows=False,
            extra={"type": "stdio"},
            then="Run 'MCP: List Servers' in VS Code, start the server and trust it.",
        ),
        Client(
            name="windsurf",
            title="Windsurf",
            user=lambda machine: machine.home / ".codeium" / "windsurf" / "mcp_config.json",
            follows=False,
            then="Refresh the servers in Cascade's MCP panel.",
        ),
        Client(
            name="zed",
            title="Zed",
            keys=("context_servers",),
            user=_zed,
            project=".zed/settings.json",
            then="Zed starts it by itself; the Agent Panel's settings show it. Before August 2026 it was started in / "
            "when Zed was opened from the desktop: then use --for FOLDER.",
        ),
        Client(
            name="codex",
            title="Codex",
            keys=("mcp_servers",),
            form="toml",
            user=lambda machine: machine.named("CODEX_HOME", machine.home / ".codex") / "config.toml",
            project=".codex/config.toml",
            terminal=True,
            then="Start Codex anew; /mcp shows the server. A project's own file is read in trusted projects only.",
        ),
        Client(
            name="gemini",
            title="Gemini CLI",
            user=lambda machine: machine.named("GEMINI_CLI_HOME", machine.home) / ".gemini" / "settings.json",
            project=".gemini/settings.json",
            terminal=True,
            then="Start Gemini CLI anew; /mcp shows the server. It starts none in folders that are not trusted.",
        ),
        Client(
            name="generic",
            title="Your client",
            user=None,
            follows=False,
            then="Put it where your client keeps its MCP servers, or name that file with --file.",
        ),
    )
}


def find(name: str) -> Client:
    """The client of that name.

    Raises:
        BadRequest: there is none; the message names the nearest.
    """
    if name in CLIENTS:
        return CLIENTS[name]
    plain = name.lower().replace(" ", "-").replace("_", "-")
    near = difflib.get_close_matches(plain, CLIENTS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise BadRequest(
        f"Unknown client {quoted(name)}. {hint}Known: {listed(CLIENTS, most=len(CLIENTS))}. "
        "For another one use 'generic', with --file to write its file."
    )


def check_scope(client: Client, scope: Scope) -> None:
    """Raises BadRequest where *client* keeps no servers in *scope*."""
    if scope not in client.scopes:
        other = f"Use --scope {client.scopes[0]}." if client.scopes else "Name its file with --file."
        raise BadRequest(f"{client.title} keeps no servers in {scope} scope. {other}")
