"""How the documentation is built: `sphinx-build -W docs docs/_build`."""

import sys
from pathlib import Path

from pytest_recall import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pytest-recall"
author = "the pytest-recall authors"
version = release = __version__
extensions = ["myst_parser", "recall_reference"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"pytest-recall {version}"
nitpicky = True
