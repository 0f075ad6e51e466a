import pytest

from shop.catalogue import UnknownProduct


def test_an_empty_cart_costs_nothing(cart):
    assert cart.total() == 0


def test_a_cart_adds_up(cart):
    cart.add("TEA-07", 2)
    cart.add("POT-02")
    assert cart.total() == 2 * 450 + 3900


def test_the_last_mug_fits_into_a_cart(cart):
    cart.add("MUG-01")
    assert cart.lines == {"MUG-01": 1}


def test_what_is_removed_can_be_sold_to_others(cart, stock):
    cart.add("TEA-07", 20)
    cart.remove("TEA-07")
    assert stock.available("TEA-07") == 500


def test_an_unknown_product_reserves_nothing(cart):
    with pytest.raises(UnknownProduct):
        cart.add("SOCK-3")
    assert cart.lines == {}


@pytest.mark.parametrize("quantity", [0, -1])
def test_nobody_buys_less_than_one_piece(cart, quantity):
    with pytest.raises(ValueError, match="at least 1"):
        cart.add("TEA-07", quantity)
