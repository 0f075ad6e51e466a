"""What a host of bundles starts: the command line of the wheel beside this file."""

import sys

from pytest_recall.cli import main

sys.exit(main())
