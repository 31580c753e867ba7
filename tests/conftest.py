"""Shapes and types of public signatures are checked while the tests run; outside they cost nothing."""

import sys
import types

import torch
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# jaxtyping takes the checker by name; this one lets whole numbers pass for decimals, as Python's own type checkers do.
checker = types.ModuleType("groklab_type_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook(["groklab.model", "groklab.measures", "groklab.training"], "groklab_type_checker.check")

# As in every training process: two threads beside other work are many times slower than one.
torch.set_num_threads(1)
