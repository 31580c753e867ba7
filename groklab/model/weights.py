"""Files of weights, whoever wrote them: safetensors, and PyTorch's own.

PyTorch's files are pickles, which can execute anything where they are read. Here they are read as tensors only; a pickle that names
anything else is refused, and nothing of it is executed.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from groklab.outside.files import check_regular, check_safetensors, open_regular
from groklab.text.values import shown

LARGEST = 1 << 30
"""Bytes of a file of weights, and of the arrays in it: some 250 million numbers, a thousand times the paper's network."""
_LONGEST_PICKLE = 16_000_000
"""Bytes of the description of the tensors in a PyTorch file."""
_MOST_ENTRIES = 100_000

_FIRST_SAFE = (2, 6)
"""The first torch whose ``weights_only`` keeps its promise (CVE-2025-32434)."""


class TooLargeError(ValueError):
    """A file that claims more than it holds, or more than is read."""


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and facts about them: the metadata of a .safetensors file, or the ``step`` of a Lightning checkpoint.

    Half precision comes as float32, which holds it exactly. ValueError where the file is no such thing, is damaged, holds anything but
    dense real tensors, or would execute code.
    """
    try:
        if path.suffix == ".safetensors":
            check_safetensors(path, LARGEST)
            return _safetensors(path)
        check_regular(path, LARGEST)
        _check_archive(path)
    except FileNotFoundError:
        raise ValueError(f"FILE: got {shown(str(path))}; expected a file; there is none of that name.") from None
    except OSError as error:
        raise ValueError(
            f"FILE: got {shown(str(path))}; expected a file of weights that can be read ({error.strerror or error})."
        ) from None
    except TooLargeError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{path}: got a file that cannot be read as safetensors ({error}); expected a whole one. Copy it again."
        ) from error
    return _pytorch(path)


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
    _check_sizes(path, content)
    return _arrays(path, content), facts


def _check_archive(path: Path) -> None:
    """ValueError where a PyTorch file, which is a zip archive, would unpack to more than it has bytes: torch itself compresses nothing."""
    with open_regular(path, LARGEST) as file:
        first, size = file.read(4), os.fstat(file.fileno()).st_size
        if not first.startswith(b"PK"):  # a pickle with its tensors behind it, whose sizes _check_sizes looks at, or no file of PyTorch
            return
        file.seek(0)
        expected = "expected tensors as torch.save writes them. Save the state dict again where you trust it."
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OverflowError, ValueError, OSError):
            return  # torch says in its own words what is wrong
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise TooLargeError(f"{path}: got a compressed archive; {expected}")
    if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > size:
        raise TooLargeError(f"{path}: got an archive whose {len(entries):,} entries claim more bytes than it has; {expected}")
    if any(entry.filename.endswith(".pkl") and entry.file_size > _LONGEST_PICKLE for entry in entries):
        raise TooLargeError(f"{path}: got a description of its tensors of more than {_LONGEST_PICKLE:,} bytes; {expected}")


def _check_sizes(path: Path, tensors: Mapping[Any, Any]) -> None:
    """ValueError where tensors claim more numbers than the file holds, as one number seen a million times does."""
    dense = [tensor for tensor in tensors.values() if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided]
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in dense if not tensor.is_meta)
    stored = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in dense if not tensor.is_meta}
    size = path.stat().st_size
    if sum(stored.values()) > size or claimed > LARGEST or any(tensor.numel() * tensor.element_size() > size for tensor in dense):
        raise TooLargeError(
            f"{path}: got tensors of {claimed:,} bytes in a file of {size:,}; expected every number once. Save the state dict again."
        )


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
