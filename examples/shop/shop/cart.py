"""A customer's cart. What is in it is reserved, so that nobody else can buy it meanwhile."""

from shop import catalogue, prices


class Cart:
    def __init__(self, stock):
        self._stock = stock
        self.lines = {}  # sku: quantity

    def add(self, sku, quantity=1):
        """Reserve `quantity` pieces of `sku` and put them into the cart."""
        if quantity < 1:
            raise ValueError(f"quantity must be at least 1, not {quantity}")
        catalogue.find(sku)
        self._stock.reserve(sku, quantity)
        self.lines[sku] = self.lines.get(sku, 0) + quantity

    def remove(self, sku):
        """Take all pieces of `sku` out of the cart; they can be sold to others again."""
        self._stock.release(sku, self.lines.pop(sku))

    def total(self):
        """Return the price of everything in the cart, before tax, in cents."""
        return sum(prices.line_total(catalogue.find(sku).cents, n) for sku, n in self.lines.items())
