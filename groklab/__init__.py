"""groklab: the laboratory for grokking."""

__version__ = "0.1.0"
