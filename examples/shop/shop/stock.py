"""How many pieces lie on the shelves, and which of them are promised to somebody."""


class OutOfStock(Exception):
    """More was asked for than is there."""


class Stock:
    def __init__(self, pieces):
        self._pieces = dict(pieces)

    def available(self, sku):
        """Return how many pieces of `sku` can still be promised."""
        return self._pieces.get(sku, 0)

    def reserve(self, sku, quantity):
        """Promise `quantity` pieces to a customer, or raise OutOfStock and promise none."""
        if quantity >= self.available(sku):
            raise OutOfStock(f"{sku}: {quantity} wanted, {self.available(sku)} in stock")
        self._pieces[sku] -= quantity

    def release(self, sku, quantity):
        """Put `quantity` promised pieces back."""
        self._pieces[sku] = self.available(sku) + quantity
