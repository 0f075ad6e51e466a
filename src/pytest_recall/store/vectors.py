"""Texts as vectors, by the setting: our own embedding, or any of Chroma's by name; and what tells their indexes apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from chromadb.utils import embedding_functions

from pytest_recall.errors import StoreUnavailable, listed, quoted
from pytest_recall.store import embedding

_AT_ONCE = 64  # texts of one call


class Vectors:
    """One way to make vectors; two with the same `version` make the same."""

    def __init__(self, asked: str = "") -> None:
        """*asked* is the setting: "", or the name of a Chroma embedding function and its configuration in JSON.

        Nothing is loaded yet. Raises `StoreUnavailable` for a name that Chroma does not know.
        """
        self._name, _, config = asked.strip().partition(" ")
        try:
            self._config: Any = json.loads(config) if config.strip() else {}
        except ValueError as error:
            raise StoreUnavailable(f"Setting 'embedding': its configuration is no JSON ({error}).") from error
        self._function: Any = None
        known = embedding_functions.known_embedding_functions
        if self._name and self._name not in known:
            raise StoreUnavailable(
                f"Setting 'embedding' names {quoted(self._name)}. Chroma's functions: {listed(sorted(known), most=50)}."
            )
        told = blake2b(json.dumps(self._config, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.version = f"{self._name}-{told}" if self._name else embedding.VERSION

    @property
    def ours(self) -> bool:
        return not self._name

    def of(self, texts: Sequence[str]) -> list[Any]:
        """A vector for each text. Raises `StoreUnavailable` when the function cannot make them."""
        if self.ours:
            return [embedding.embed(text) for text in texts]
        try:
            if self._function is None:
                self._function = embedding_functions.config_to_embedding_function(
                    {"name": self._name, "config": self._config}
                )
            made: list[Any] = []
            for at in range(0, len(texts), _AT_ONCE):
                # A lone surrogate is no text to a model, and an empty one none either.
                part = [t.encode("utf-8", "replace").decode() or "-" for t in texts[at : at + _AT_ONCE]]
                made += self._function(part)
        except Exception as error:  # whatever a foreign function raises: missing package, key, model, server
            self._function = None
            raise StoreUnavailable(
                f"The embedding function {quoted(self._name)} failed: {type(error).__name__}: {error!s:.200}"
            ) from error
        return made
