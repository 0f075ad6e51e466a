"""What a test file can reach by its imports."""

from __future__ import annotations

import time

import pytest

from pytest_recall.history.reach import reach, reach_digest, reached, source, touched

SHOP = {
    "conftest.py": "",
    "src/shop/__init__.py": "from .cart import Cart\n",
    "src/shop/cart.py": "from . import money\nfrom shop.deep import tax as t\n",
    "src/shop/money.py": "import decimal\n",
    "src/shop/deep/__init__.py": "",
    "src/shop/deep/tax.py": "from .. import rates\nfrom ..rates import VAT\n",
    "src/shop/rates.py": "VAT = 1\n",
    "src/shop/unused.py": "",
    "tests/conftest.py": "import helpers\n",
    "tests/helpers.py": "",
    "tests/test_cart.py": "import pytest, shop.cart as c\n",
    "tests/unit/test_money.py": "    from shop import (\n  money,  # why\n  rates)\n",
}


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ("import shop.money", "src/shop/money.py"),
        ("import os, shop.money as m", "src/shop/money.py"),
        ("from shop import money", "src/shop/money.py"),
        ("from shop import (\n    cart,\n    unused,\n)", "src/shop/unused.py"),
        ("if True:\n    from shop.unused import *", "src/shop/unused.py"),
        ("from .helpers import x", "tests/helpers.py"),
        ("from . import helpers", "tests/helpers.py"),
        ("import helpers", "tests/helpers.py"),
        ("from src.shop import unused", "src/shop/unused.py"),
    ],
)
def test_import_is_followed(line, reached):
    assert reached in reach("tests/test_new.py", SHOP | {"tests/test_new.py": line})


def test_imports_of_imports_packages_and_conftests_are_reached():
    assert reach("tests/test_cart.py", SHOP) == set(SHOP) - {"src/shop/unused.py", "tests/unit/test_money.py"}


def test_change_outside_the_reach_does_not_touch_the_test():
    reached = reach("tests/test_cart.py", SHOP)
    assert touched(["src/shop/unused.py", "README.md"], reached) == []
    assert touched(["src/shop/rates.py", "README.md"], reached) == ["src/shop/rates.py"]


def test_digest_changes_with_what_is_reached_and_with_nothing_else():
    def of(test: str, **changed: str) -> str:
        texts = SHOP | {f"src/shop/{name}.py": text for name, text in changed.items()}
        return reach_digest(test, {path: source(path, text) for path, text in texts.items()})

    before = of("tests/test_cart.py")
    assert of("tests/test_cart.py", unused="x") == before
    assert of("tests/test_cart.py", rates="x") != before
    assert of("tests/gone.py") == ""


def test_files_read_before_reach_the_same():
    read = {path: source(path, text) for path, text in SHOP.items()}
    assert all(reached(path, read) == reach(path, SHOP) for path in SHOP)


def test_cycles_and_unknown_names_end():
    assert reach("a.py", {"a.py": "import b, nowhere", "b.py": "import a"}) == {"a.py", "b.py"}


@pytest.mark.parametrize(
    "unit", ["from a import (", "from ", "import a,", "\n ", ".", "from . import (a\n", "import a.b.c "]
)
def test_hostile_sources_take_linear_time(unit):
    begin = time.process_time()
    reach("a.py", {"a.py": unit * 100_000})
    reach("a.py", {"a.py": f"from {unit.strip() * 100_000} import ({'b,' * 9_000})"})
    assert time.process_time() - begin < 2.0
