"""Where a benchmark ran: what its ratios depend on."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

import groklab
from benchmarks.processes import cores
from groklab.config.run import Run
from groklab.model import compiled
from groklab.training.paths import path_of


def machine(run: Run) -> dict[str, Any]:
    """Processor, caches, memory, load, versions, compiler, and the path that a run takes here with its reason."""
    path = path_of(run.replace(path="auto"), "cpu")
    return {
        "processor": _processor(),
        "cores": cores(),
        "caches": _caches(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "groklab": groklab.__version__,
        "torch_vectors": torch.backends.cpu.get_cpu_capability(),
        "compiler": _compiler(),
        "path": str(path),
        "kernel_vector_bits": compiled.vector_bits(compiled.kernels("float32")) if path.name == "compiled" else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    """Its name and, where the system tells, family and model, because names of virtual processors say little."""
    cpuinfo = Path("/proc/cpuinfo")
    told: dict[str, str] = {}
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {told['cpu family']}, model {told['model']})" if {"cpu family", "model"} <= set(told) else name


def _caches() -> str:
    """Caches that the first core sees, smallest first; empty where the system does not tell."""
    found: list[str] = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / part).read_text(encoding="utf-8").strip() for part in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _compiler() -> str:
    """The first line of what the compiler says of itself."""
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=20, encoding="utf-8", errors="replace"
        ).stdout
    except OSError:
        return f"none: {command[0]} was not found"
    return (said.splitlines() or ["unknown"])[0]


def summary(of: dict[str, Any]) -> list[str]:
    """The same in lines."""
    vectors = f"torch {of['torch_vectors']}" + (f", kernels {of['kernel_vector_bits']} bits" if of["kernel_vector_bits"] else "")
    device = [f"device: {of['device']}"] if of["device"] else []
    return [
        f"{of['processor']}, {of['cores']} cores, {of['caches'] or 'caches unknown'}, {of['memory_gb']} GB, {of['system']}",
        f"vectors: {vectors}; load {of['load_before']} before; compiler: {of['compiler']}",
        f"path: {of['path']}; torch {of['torch']}, numpy {of['numpy']}, Python {of['python']}, groklab {of['groklab']}",
        *device,
    ]
