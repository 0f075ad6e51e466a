"""What is shipped: wheel and sdist as they should be, and the command works where only the wheel is; bundle and registry entry."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_recall import __version__

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TESTS = {"test_a.py": "def test_one(): ...\ndef test_two(): assert 1 == 2\n"}
BUILD = "import sys, hatchling.build as b; b.build_sdist(sys.argv[1]); b.build_wheel(sys.argv[1])"


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    more.setdefault("env", {name: value for name, value in os.environ.items() if name != "PYTHONPATH"})
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=300, **more
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


def tool(name: str) -> Path:
    """A program of the environment that runs the tests."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} is not installed; the extra 'test' has it")
    return path


@pytest.fixture(scope="module")
def for_uv() -> dict[str, str]:
    """Our environment, and in it what pip is told of the index: uv does not read pip's configuration."""
    listed = run(sys.executable, "-m", "pip", "config", "list").stdout
    told = dict(re.findall(r"^\S*\.(index-url|cert)='(.*)'$", listed, re.MULTILINE))
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    return {names[key]: value for key, value in told.items()} | dict(os.environ)


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-c", BUILD, folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    [path] = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel) -> Path:
    """The scripts of an environment with our wheel and, beside it, nothing but the dependencies (by their path)."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    site = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python")
    run(*pip, "install", "-q", "--no-deps", "--disable-pip-version-check", wheel)
    # A plain path: .pth files in it, such as that of an editable install of ours, are not followed.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_the_registries_checks_find_nothing(dist, wheel):
    assert "FAILED" not in run(tool("twine"), "check", "--strict", *dist.glob("*.*")).stdout
    run(tool("check-wheel-contents"), wheel, cwd=ROOT)


def test_the_sdist_makes_the_same_wheel(dist, wheel, tmp_path):
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    run(sys.executable, "-c", "import hatchling.build as b; b.build_wheel('.')", cwd=unpacked)
    [again] = unpacked.glob("*.whl")
    assert contents(again) == contents(wheel)
    assert (unpacked / "tests" / "unit").is_dir()  # a distribution's packager can run the tests


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: info.CRC for info in archive.infolist() if not info.filename.endswith("RECORD")
        }


def test_the_wheel_is_typed_and_compiles(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        assert "pytest_recall/py.typed" in archive.namelist()
        archive.extractall(tmp_path)
    run(
        sys.executable,
        "-W",
        "error",
        "-m",
        "compileall",
        "-q",
        tmp_path / "pytest_recall",
        tmp_path / "recall_probe",
    )


async def test_where_only_the_wheel_is_the_command_works(installed, make_project):
    project = make_project(TESTS)
    where = run(
        installed / "python", "-c", "import pytest_recall; print(pytest_recall.__file__)", cwd=project
    )
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)

    recall = installed / "pytest-recall"
    assert run(recall, "--version").stdout == f"pytest-recall {__version__}\n"
    doctor = json.loads(run(recall, "doctor", "--json", "--no-start", cwd=project).stdout)
    assert not doctor.get("problems")
    demo = run(recall, "demo", cwd=project).stdout
    assert "test_two_orders" in demo or "MUG-01" in demo
    await does_the_main_job(
        StdioServerParameters(
            command=str(recall), args=["serve", "--project", str(project)], env=dict(os.environ)
        )
    )


async def does_the_main_job(server: StdioServerParameters) -> None:
    async with Client(server, mode="legacy") as agent:
        answer = (await agent.call_tool("run_tests", {})).structured_content
        runs = (await agent.call_tool("test_history", {"view": "runs"})).structured_content
    assert answer["counts"] == {"collected": 2, "passed": 1, "failed": 1}
    assert [one["run_id"] for one in runs["runs"]] == [answer["run_id"]]


def test_each_dependency_has_a_floor_and_it_can_be_had(for_uv):
    """The lowest versions that a resolver takes are those that we name: no floor is a wish."""
    lowest = ("--resolution", "lowest-direct", "--python", sys.executable, "pyproject.toml")
    done = run(
        tool("uv"), "pip", "compile", "-q", "--no-annotate", "--no-header", *lowest, cwd=ROOT, env=for_uv
    )
    taken = dict(line.split("==") for line in done.stdout.split() if "==" in line)
    named = {}
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        [floor] = [clause.version for clause in wanted.specifier if clause.operator == ">="]
        named[canonicalize_name(wanted.name)] = floor
    assert {name: plain(taken[name]) for name in named} == {
        name: plain(floor) for name, floor in named.items()
    }


def plain(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version)


# --- the bundle and the registry's entry ----------------------------------------------------


def manifest() -> dict[str, Any]:
    return json.loads((ROOT / "packaging" / "mcpb" / "manifest.json").read_text("utf-8"))


async def test_the_manifest_tells_of_this_version_and_its_tools(make_project, connect):
    told = manifest()
    async with connect(make_project({})) as agent:
        tools = (await agent.client.list_tools()).tools
    assert told["version"] == __version__
    assert [tool["name"] for tool in told["tools"]] == [tool.name for tool in tools]


@pytest.fixture
def bundle(wheel, tmp_path, from_npm) -> Path:
    staged, packed = tmp_path / "staged", tmp_path / "pytest-recall.mcpb"
    run(sys.executable, ROOT / "packaging" / "bundle.py", wheel, staged)
    mcpb = from_npm("mcpb")
    run(*mcpb, "validate", staged / "manifest.json")
    run(*mcpb, "pack", staged, packed)
    run(*mcpb, "unpack", packed, tmp_path / "unpacked")
    return tmp_path / "unpacked"


async def test_the_bundle_unpacked_where_nothing_is_does_the_main_job(bundle, make_project, tmp_path, for_uv):
    uv = tool("uv")
    project = make_project(TESTS)
    home = tmp_path / "nothing"
    home.mkdir()
    values = {"${__dirname}": str(bundle), "${user_config.project}": str(project)}
    configured = manifest()["server"]["mcp_config"]
    words = [re.sub(r"\$\{[\w.]+\}", lambda found: values[found[0]], word) for word in configured["args"]]
    assert configured["command"] == "uv"
    kept = {
        name: for_uv[name] for name in for_uv if name.startswith(("UV_", "SSL_", "HTTP", "http", "ALL_PROXY"))
    }
    env = kept | {
        "HOME": str(home),
        "PATH": f"{uv.parent}{os.pathsep}/usr/bin:/bin",
        "UV_CACHE_DIR": run(uv, "cache", "dir").stdout.strip(),
        "UV_PYTHON": sys.executable,
        "PYTEST_RECALL_PYTHON": sys.executable,
    }
    run(uv, "sync", "--quiet", "--project", bundle, env=env)  # the host does it as the bundle is installed
    await does_the_main_job(StdioServerParameters(command=str(uv), args=words, env=env, cwd=home))


# After the registry's schema of 2025-12-11, for what our entry uses of it; stricter: nothing else may stand there.
_TEXT = {"type": "string", "minLength": 1}
_VARIABLE = {
    "type": "object",
    "properties": {"description": _TEXT, "format": {"enum": ["string", "number", "boolean", "filepath"]}, "isRequired": {"type": "boolean"}},
    "additionalProperties": False,
}  # fmt: skip
_ARGUMENT = {
    "oneOf": [
        {
            "properties": {"type": {"const": "positional"}, "value": _TEXT},
            "required": ["type", "value"],
            "additionalProperties": False,
        },
        {
            "properties": {
                "type": {"const": "named"},
                "name": {"type": "string", "pattern": "^--"},
                "value": _TEXT,
                "variables": {"type": "object", "additionalProperties": _VARIABLE},
            },
            "required": ["type", "name"],
            "additionalProperties": False,
        },
    ]
}
ENTRY = {
    "type": "object",
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {
            "type": "string",
            "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$",
            "minLength": 3,
            "maxLength": 200,
        },
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"const": __version__},
        "packages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "registryType": {"const": "pypi"},
                    "identifier": {"const": PROJECT["name"]},
                    "version": {"const": __version__},
                    "runtimeHint": {"const": "uvx"},
                    "transport": {"const": {"type": "stdio"}},
                    "packageArguments": {"type": "array", "items": _ARGUMENT},
                },
                "required": ["registryType", "identifier", "version", "transport"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["$schema", "name", "description", "version", "packages"],
    "additionalProperties": False,
}


@pytest.fixture
def entry() -> dict[str, Any]:
    return json.loads((ROOT / "packaging" / "server.json").read_text("utf-8"))


def test_the_registrys_entry_is_of_its_shape_and_of_this_version(entry):
    jsonschema.Draft202012Validator(ENTRY).validate(entry)


@pytest.mark.parametrize(
    "wrong", [{"name": "no-namespace"}, {"version": "0"}, {"description": "x" * 101}, {"more": 1}]
)
def test_a_wrong_entry_is_found(entry, wrong):
    assert list(jsonschema.Draft202012Validator(ENTRY).iter_errors(entry | wrong))


def test_the_readme_proves_to_the_registry_whose_package_it_is(entry):
    assert f"<!-- mcp-name: {entry['name']} -->" in (ROOT / "README.md").read_text("utf-8")


async def test_the_registrys_entry_starts_the_server(entry, installed, make_project):
    project = make_project(TESTS)
    words: list[str] = []
    for argument in entry["packages"][0]["packageArguments"]:
        words += filter(None, [argument.get("name"), argument["value"].replace("{project}", str(project))])
    await does_the_main_job(
        StdioServerParameters(command=str(installed / "pytest-recall"), args=words, env=dict(os.environ))
    )
