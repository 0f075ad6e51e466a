import pytest

from shop.stock import OutOfStock


def test_reserved_pieces_are_not_available(stock):
    stock.reserve("POT-02", 3)
    assert stock.available("POT-02") == 5


def test_the_last_piece_can_be_reserved(stock):
    stock.reserve("MUG-01", 1)
    assert stock.available("MUG-01") == 0


@pytest.mark.parametrize("quantity", [9, 1000])
def test_nobody_gets_more_than_there_is(stock, quantity):
    with pytest.raises(OutOfStock):
        stock.reserve("POT-02", quantity)
    assert stock.available("POT-02") == 8


def test_a_product_without_a_shelf_is_out_of_stock(stock):
    with pytest.raises(OutOfStock, match="LAMP-1"):
        stock.reserve("LAMP-1", 1)


def test_released_pieces_are_available_again(stock):
    stock.reserve("TEA-07", 100)
    stock.release("TEA-07", 100)
    assert stock.available("TEA-07") == 500


@pytest.mark.skip(reason="the warehouse's scanner has no simulator yet")
def test_a_scanned_delivery_goes_to_the_shelves():
    """Scan a parcel and expect its pieces in the stock."""
