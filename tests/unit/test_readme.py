"""The README says what is: its settings, commands, tools and links exist, and none is missing."""

import re
from pathlib import Path

import pytest

from pytest_recall import cli
from pytest_recall.cli.door import Commands
from pytest_recall.config import Settings
from pytest_recall.model import Status

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_every_setting_is_listed_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", README, re.MULTILINE))
    listed = {name: rows.get(name, "missing").strip("`") for name in Settings.model_fields}
    assert listed == {
        name: "" if field.default in ("", ()) else str(field.default)
        for name, field in Settings.model_fields.items()
    }


def test_every_command_is_shown():
    import argparse

    parser = argparse.ArgumentParser()
    parsers = parser.add_subparsers()
    for family in cli.FAMILIES:
        family.add(Commands(parsers))
    missing = [name for name in parsers.choices if f"pytest-recall {name}" not in README]
    assert not missing


def test_every_status_is_named():
    assert not [status.value for status in Status if f"`{status.value}`" not in README]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_no_placeholder_is_left():
    assert "@@" not in README
