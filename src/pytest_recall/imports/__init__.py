"""Runs that happened elsewhere: test reports of other tools, read into Runs that say what they lost."""
