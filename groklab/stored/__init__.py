"""Runs with their results, as they lie in a folder: read, compared, measured and drawn."""
