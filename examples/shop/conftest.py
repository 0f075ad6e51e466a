"""Fixtures for all tests. As this file lies at the root, pytest finds the package `shop` beside it."""

import pytest

from shop import currency
from shop.cart import Cart
from shop.stock import Stock


@pytest.fixture
def stock():
    """A shop's shelves: plenty of tea, one mug left, and no lamp."""
    return Stock({"TEA-07": 500, "POT-02": 8, "MUG-01": 1})


@pytest.fixture
def cart(stock):
    return Cart(stock)


@pytest.fixture
def rates():
    """Today's exchange rates: they are in the environment, and only there."""
    return currency.rates()
