"""pluggy's newer kind of wrapper where it is there: it costs half of the older one, and tests are many.

A wrapper made with `wrapper` reads `outcome = yield`, does its work and ends in `return outcome`.
"""

import pytest

try:
    wrapper = pytest.hookimpl(wrapper=True, tryfirst=True)
except TypeError:  # pluggy < 1.2
    wrapper = pytest.hookimpl(hookwrapper=True, tryfirst=True)

    def result(outcome):
        """What the wrapped hooks gave, or None where one of them raised."""
        return None if outcome.excinfo is not None else outcome.get_result()

else:

    def result(outcome):
        """What the wrapped hooks gave; where one of them raised, the wrapper was left at its `yield`."""
        return outcome
