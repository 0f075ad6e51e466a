"""Whoever runs these tests may be a CI job: what our own processes are to see of one, a test says itself."""

import os

from pytest_recall import ci

for name in ci.NAMES:  # at once, before fixtures of any scope
    os.environ.pop(name, None)
