"""Files of weights, whoever wrote them: safetensors, and PyTorch's own.

PyTorch's files are pickles, which can execute anything where they are read. Here they are read as tensors only; a pickle that names
anything else is refused, and nothing of it is executed.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from groklab.values import shown

_FIRST_SAFE = (2, 6)
"""The first torch whose ``weights_only`` keeps its promise (CVE-2025-32434)."""


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and facts about them: the metadata of a .safetensors file, or the ``step`` of a Lightning checkpoint.

    Half precision comes as float32, which holds it exactly. ValueError where the file is no such thing, is damaged, holds anything but
    dense real tensors, or would execute code.
    """
    if not path.is_file():
        raise ValueError(f"FILE: got {shown(str(path))}; expected a file; there is none of that name.")
    return _safetensors(path) if path.suffix == ".safetensors" else _pytorch(path)


def _safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            facts: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: got a file that cannot be read as safetensors ({error}); expected a whole one. Copy it again."
        ) from error
    return _arrays(path, tensors), facts


def _pytorch(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """A state dict, or the one inside a Lightning checkpoint."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _FIRST_SAFE:
        raise ValueError(
            f"{path}: got a pickle; expected .safetensors, for torch {torch.__version__} can be made to execute code even while it reads "
            "tensors only (CVE-2025-32434). Install torch 2.6 or newer, or convert the file where you trust it."
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of unusual pickles, which are refused just the same
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of whatever the bytes mean to the archive's reader and to the unpickler
        text = str(error).strip()
        if isinstance(error, pickle.UnpicklingError):
            raise ValueError(
                f"{path}: got a pickle that names more than tensors and could execute code; nothing of it was executed. Expected a state "
                f"dict. Where you trust the file, write its state dict alone, with torch.save or as safetensors. ({_refused(text)})"
            ) from error
        first = text.splitlines()[0][:200] if text else type(error).__name__
        raise ValueError(f"{path}: got a file that is neither safetensors nor of PyTorch; expected one of them. ({first})") from error
    facts: dict[str, str] = {}
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        facts = {"step": str(content["global_step"])} if "global_step" in content else {}
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: got {type(content).__name__} without entries; expected a state dict, names with tensors.")
    return _arrays(path, content), facts


def _refused(text: str) -> str:
    """What was refused, from torch's long explanation."""
    lines = [line for line in text.splitlines() if "nsupported" in line] or text.splitlines()[:1] or ["a pickle of another kind"]
    return lines[0].split("WeightsUnpickler error: ")[-1].strip()[:200]


def _arrays(path: Path, tensors: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        is_dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_quantized
        if not isinstance(name, str) or not is_dense or tensor.is_complex() or tensor.is_meta:
            raise ValueError(f"{path}: {name}: got {type(tensor).__name__}; expected a state dict, names with dense real tensors.")
        is_half = tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64)
        arrays[name] = (tensor.float() if is_half else tensor).detach().numpy()
    return arrays
