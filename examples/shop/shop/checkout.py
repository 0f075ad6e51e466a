"""The till: a cart becomes an order."""

import secrets
from dataclasses import dataclass

from shop import prices

GIFTS = ("a sticker", "a postcard", "a pencil")


class EmptyCart(Exception):
    """There is nothing to pay for."""


@dataclass(frozen=True)
class Order:
    lines: dict
    cents: int  # tax included
    gift: str


def pay(cart, purse_cents):
    """Turn `cart` into an order, paid from a purse that holds `purse_cents`."""
    if not cart.lines:
        raise EmptyCart("Put something into the cart first.")
    due = prices.with_vat(cart.total())
    if purse_cents < due:
        raise ValueError(f"{prices.show(due)} are due, {prices.show(purse_cents)} were given")
    return Order(dict(cart.lines), due, gift=secrets.choice(GIFTS))


async def pay_later(cart, purse):
    """Wait for `purse`, an awaitable number of cents, and pay from it."""
    return pay(cart, await purse)
