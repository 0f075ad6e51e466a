"""Runs for other tools: JUnit XML, CTRF, and JSON lines that lose nothing."""
