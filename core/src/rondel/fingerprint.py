"""What the bits of a run depend on besides its seed: exactness is promised within one fingerprint."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path


def fingerprint(device: str) -> dict[str, str]:
    """Describe the software and hardware that a run on ``device`` computes with."""
    import torch

    place = torch.device(device)
    return {
        "rondel": rondel_version(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": place.type,
        "device_name": _accelerator_name(device) if place.type != "cpu" else _processor_name(),
        "threads": str(torch.get_num_threads()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": str(torch.backends.mkldnn.enabled).lower(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
    }


def fingerprint_difference(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say in one line each what changed since a fingerprint was saved; empty if nothing did."""
    return [
        f"{key}: was {saved.get(key, 'unknown')}, is {now.get(key, 'unknown')}"
        for key in dict.fromkeys([*saved, *now])
        if saved.get(key) != now.get(key)
    ]


def rondel_version() -> str:
    """The installed version, or "source" when rondel runs from a source tree."""
    try:
        return metadata.version("rondel")
    except metadata.PackageNotFoundError:
        return "source"


def _accelerator_name(device: str) -> str:
    import torch

    module = torch.get_device_module(device)
    return str(module.get_device_name(device)) if hasattr(module, "get_device_name") else device


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
