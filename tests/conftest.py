"""Shapes and types of public signatures are checked while the tests run; outside they cost nothing."""

from jaxtyping import install_import_hook

install_import_hook(["groklab.model", "groklab.measures", "groklab.training"], "beartype.beartype")
