"""A node id in its parts, as other formats have them."""

from __future__ import annotations


def parts(node_id: str) -> tuple[str, list[str], str]:
    """The path, the classes, and the name with its parameters: a `[` in the path begins none.

    A name of another tool's may have no path.
    """
    path, colons, rest = node_id.partition("::")
    if not colons:
        return "", [], node_id
    function, bracket, values = rest.partition("[")
    *classes, name = function.split("::")
    return path, classes, f"{name}{bracket}{values}"
