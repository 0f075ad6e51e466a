"""A foreign pytest, from a request to a Run."""
