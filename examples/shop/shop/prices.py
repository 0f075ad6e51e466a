"""What things cost. Amounts are whole cents, so nothing is lost to rounding on the way."""

VAT_PERCENT = 19
DISCOUNTS = [(50, 15), (10, 10), (3, 5)]  # from so many pieces on: so many percent off


def discount_percent(quantity):
    """Return the discount on `quantity` pieces of one product."""
    return next((percent for pieces, percent in DISCOUNTS if quantity >= pieces), 0)


def line_total(cents, quantity):
    """Return the price of `quantity` pieces at `cents` each, discount taken off."""
    full = cents * quantity
    return full - full * discount_percent(quantity) // 100


def with_vat(cents):
    """Add the value added tax, rounded to the nearest cent."""
    return (cents * (100 + VAT_PERCENT) + 50) // 100


def show(cents):
    """Write an amount as people read it: `1.234,50 €`."""
    euros, rest = divmod(cents, 100)
    return f"{euros:,}".replace(",", ".") + f",{rest:02} €"
