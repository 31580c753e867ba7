"""torch, imported when something is computed and not before.

Files that register networks, optimizers, measures and the like take ``torch``, ``F`` and ``Tensor`` from here: what they register can then
be named, listed and checked where torch is not installed, and reading results does not wait for it. Whoever has torch imported already
gets it as it is.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.modules.get("torch") is not None:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:

    class _Later:
        """A module that is imported at the first use of a name in it; every name is looked up once."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            found = getattr(importlib.import_module(self._name), name)
            setattr(self, name, found)
            return found

    class Tensor:
        """Stands for ``torch.Tensor`` in annotations, which nothing evaluates here."""

    torch, F = _Later("torch"), _Later("torch.nn.functional")

__all__ = ["F", "Tensor", "torch"]
