"""What the shop sells."""

from dataclasses import dataclass


class UnknownProduct(LookupError):
    """No product has that number."""


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    cents: int  # the price of one, before tax


PRODUCTS = {
    product.sku: product
    for product in [
        Product("MUG-01", "Enamel mug", 1200),
        Product("TEA-07", "Black tea, 100 g", 450),
        Product("POT-02", "Teapot", 3900),
        Product("LAMP-1", "Reading lamp", 8900),
    ]
}


def find(sku):
    """Return the product numbered `sku`."""
    try:
        return PRODUCTS[sku]
    except KeyError:
        raise UnknownProduct(f"No product {sku!r}. The shop has {', '.join(sorted(PRODUCTS))}.") from None


def search(words):
    """Return the products whose name has every one of `words`, cheapest first."""
    wanted = words.lower().split()
    hits = [p for p in PRODUCTS.values() if all(word in p.name.lower() for word in wanted)]
    return sorted(hits, key=lambda product: product.cents)
