"""Runs a project's own pytest for agents and people, answers briefly, and remembers every run."""

__version__ = "0.1.0"
