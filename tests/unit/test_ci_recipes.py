"""The recipes in `examples/ci`: what their CI systems' own schemas and grammar say of them, and what they promise."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_groovy
import yaml
from tree_sitter import Language, Node, Parser

from pytest_recall import cli
from pytest_recall.cli.door import Commands

EXAMPLES = Path(__file__).parents[2] / "examples"
GITHUB, GITLAB, JENKINS = (
    EXAMPLES / "ci" / name for name in ("github-actions.yml", "gitlab-ci.yml", "Jenkinsfile")
)
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci"}


def complaints(schema: str, path: Path) -> str:
    words = ["--builtin-schema", schema, "--no-cache", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schema_of_the_ci_system_has_nothing_against_its_recipe(path, tmp_path):
    assert complaints(SCHEMAS[path], path) == ""
    broken = tmp_path / path.name  # so that it would say something
    broken.write_text(re.sub(r"(?m)^( +)(steps|script):", r"\1stepps:", path.read_text("utf-8"), count=1))
    assert "stepps" in complaints(SCHEMAS[path], broken)


def parsed(text: bytes) -> Node:
    return Parser(Language(tree_sitter_groovy.language())).parse(text).root_node


def blocks(node: Node, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each block `name { … }` and each step in one, from the top."""
    for child in node.children:
        name = child.child_by_field_name("name")
        way = above
        if child.type in {"method_invocation", "juxt_function_call"} and name is not None and name.text:
            way = (*above, name.text.decode())
            yield way
        yield from blocks(child, way)


# Of Jenkins' declarative syntax: what may stand in a block. Steps are the business of plugins.
DECLARATIVE = {
    "": {"pipeline"},
    "pipeline": {"agent", "options", "stages", "environment", "post", "parameters", "triggers"},
    "stages": {"stage"},
    "stage": {"agent", "steps", "stages", "matrix", "when", "environment", "post", "options"},
    "matrix": {"axes", "excludes", "agent", "stages", "post"},
    "axes": {"axis"},
    "axis": {"name", "values"},
    "agent": {"docker", "label"},
    "docker": {"image", "args"},
    "when": {"beforeAgent", "environment", "expression", "branch"},
    "post": {"always", "success", "failure"},
    "steps": {"sh", "catchError", "archiveArtifacts", "stash", "unstash"},
    "catchError": {"sh"},
}


def test_jenkinsfile_is_groovy_and_declarative():
    source = JENKINS.read_bytes()
    root = parsed(source)
    assert not root.has_error
    assert parsed(source.replace(b"stages {", b"stages {{", 1)).has_error
    assert parsed(source[:-3]).has_error
    ways = list(blocks(root))
    wrong = [
        way
        for way in ways
        for parent in [way[-2] if len(way) > 1 else ""]
        if parent in DECLARATIVE and way[-1] not in DECLARATIVE[parent]
    ]
    assert wrong == []
    assert ("pipeline", "stages", "stage", "matrix", "stages", "stage", "steps", "catchError", "sh") in ways


@pytest.mark.parametrize("path", [GITHUB, GITLAB, JENKINS], ids=lambda path: path.name)
def test_each_runs_with_the_plugin_and_keeps_the_inbox_of_failed_runs_too(path):
    text = path.read_text("utf-8")
    assert re.search(r"pip install .*\bpytest-recall-plugin\b", text)
    assert "-m pytest --recall" in text
    assert ".pytest-recall/inbox/" in text
    kept = {
        GITHUB: "!cancelled()",
        GITLAB: "when: always",
        JENKINS: "catchError",
    }
    assert kept[path] in text


def test_github_uploads_the_hidden_folder_and_the_jobs_have_names_of_their_own():
    jobs = yaml.safe_load(GITHUB.read_text("utf-8"))["jobs"]
    [upload] = [step["with"] for step in jobs["test"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["include-hidden-files"] is True
    assert upload["name"] == "recall-py${{ matrix.python }}"


def test_only_commands_that_there_are_stand_in_recipes():
    import argparse

    parser = argparse.ArgumentParser()
    parsers = parser.add_subparsers()
    for family in cli.FAMILIES:
        family.add(Commands(parsers))
    for path in [*(EXAMPLES / "ci").iterdir(), *(EXAMPLES / "hooks").iterdir()]:
        named = set(re.findall(r"(?:^|[\s/;&'(])pytest-recall ([a-z-]+)", path.read_text("utf-8")))
        assert named <= set(parsers.choices), path


def test_recipes_for_hooks_are_shell_and_of_the_shape_that_pre_commit_reads():
    push = EXAMPLES / "hooks" / "pre-push"
    subprocess.run(["sh", "-n", str(push)], check=True)
    assert push.stat().st_mode & 0o111
    config = yaml.safe_load((EXAMPLES / "hooks" / "pre-commit-config.yaml").read_text("utf-8"))
    [repo] = config["repos"]
    assert repo["repo"] == "local"
    for one in repo["hooks"]:
        assert {"id", "name", "entry", "language", "stages"} <= one.keys()
        words = one["entry"].removeprefix("sh -c '").removesuffix("'")
        subprocess.run(["sh", "-n"], input=words.encode(), check=True)
