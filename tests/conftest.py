"""Whoever runs these tests may be a CI job, in a container: what our own processes are to see of it, a test says itself."""

import os

from hypothesis import HealthCheck, settings

from pytest_recall import ci

if {"CI", "TESTS_IN_CI"} & os.environ.keys():
    # The same made-up inputs in each job: chance belongs to who can look at it.
    os.environ["TESTS_IN_CI"] = "yes"  # for xdist's workers, which begin without the other one
    settings.load_profile("ci")
else:  # a machine that is busy with something else is no failure
    settings.register_profile("person", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("person")

for name in ci.NAMES:  # at once, before fixtures of any scope
    os.environ.pop(name, None)

# A person's own settings: their team's store is no place for the runs of these tests.
for name in list(os.environ):
    if name.startswith(("PYTEST_RECALL_", "CHROMA_")):
        del os.environ[name]

# Hundreds of our own processes start here: each would compile all of our modules anew, a sixth of what it costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
