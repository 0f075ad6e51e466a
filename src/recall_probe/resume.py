"""A launch that goes on where another broke off: the tests that have had their turn are left out.

Loaded by `-p` where the run folder holds `done.json`, a list of node ids. All else is as it was the first
time: arguments, rootdir, conftests, order. Ids as arguments would change each of these.
"""

import json
import os

import pytest

from recall_probe.stream import node_id


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    with open(os.path.join(config.getoption("recall_run_dir"), "done.json"), encoding="utf-8") as file:
        done = set(json.load(file))
    items[:] = [item for item in items if node_id(item.nodeid) not in done]
