"""A small shop: a catalogue, a cart, prices, a stock and a till."""
