"""`python -m pytest_recall`: the command line without its script."""

import sys

from pytest_recall.cli import main

sys.exit(main())
