"""An MCPB bundle from a wheel: `python packaging/bundle.py dist/*.whl FOLDER` fills FOLDER for `mcpb pack`."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

SOURCE = Path(__file__).parent / "mcpb"
PYPROJECT = """\
# The environment that the host makes with uv: the wheel beside this file, and what it needs.
[project]
name = "pytest-recall-bundle"
version = "{version}"
requires-python = ">=3.11"
dependencies = ["pytest-recall"]

[tool.uv]
package = false

[tool.uv.sources]
pytest-recall = {{ path = "{wheel}" }}
"""


def fill(wheel: Path, folder: Path) -> None:
    """Put everything that is to be packed into *folder*, which is made."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(wheel, folder)
    version = wheel.name.split("-")[1]
    (folder / "pyproject.toml").write_text(PYPROJECT.format(version=version, wheel=wheel.name), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    fill(options.wheel, options.folder)
