"""What the CUDA runtime and PyTorch say of this process's GPU memory, where they are loaded."""

from __future__ import annotations

import sys
from typing import Any


class RuntimeMemory:
    """Bytes taken since construction, which sets PyTorch's own peak back.

    Nothing is imported for it: what a candidate has not loaded holds none of its memory, and
    what it loads later has no beginning to grow from.
    """

    def __init__(self) -> None:
        self._used_before = _cuda_used()
        torch = _torch()
        if torch is not None:
            torch.cuda.reset_peak_memory_stats()

    def bytes(self) -> int | None:
        """PyTorch's peak, or growth of the first GPU by the CUDA runtime; None without either."""
        torch = _torch()
        if torch is not None:
            return int(torch.cuda.max_memory_reserved())
        used = _cuda_used()
        if used is None or self._used_before is None:
            return None
        return max(0, used - self._used_before)


def _torch() -> Any:
    """The loaded torch, if it has a GPU and has used it."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _cuda_used() -> int | None:
    """Bytes of the first GPU that are taken, by whomever."""
    cudart: Any = sys.modules.get("cuda.bindings.runtime")
    if cudart is None:
        return None
    status, free, total = cudart.cudaMemGetInfo()
    return int(total) - int(free) if int(status) == 0 else None
