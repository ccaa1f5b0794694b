"""What of this machine decides how fast a network runs on it."""

import os
import platform
from functools import cache
from pathlib import Path

# Instruction sets that the kernels of a runtime choose between.
_FLAGS = (
    "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip


@cache
def host_fingerprint() -> dict[str, str]:
    """Processor, its instruction sets, cores, system and architecture of this machine."""
    rows = _cpuinfo()
    name = rows.get("model name") or rows.get("Model") or platform.processor()
    present = set((rows.get("flags") or rows.get("Features") or "").split())
    return {
        "cpu": name or platform.machine(),
        "instructions": " ".join(flag for flag in _FLAGS if flag in present) or "unknown",
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    rows: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        rows.setdefault(key.strip(), value.strip())
    return rows
