"""Where the operators of one call spend their own time, by torch's profiler."""

from collections.abc import Callable
from typing import Any

# Kernels that do the multiplications; what torch names differently on other devices is close kin.
_PRODUCTS = ("mm", "convolution", "flash_attention")


def share_outside_products(call: Callable[[], Any]) -> float:
    """Return the share of the operators' own time that is not spent in matrix products."""
    times = _own_times(call)
    products = sum(time for name, time in times if any(part in name for part in _PRODUCTS))
    return 1.0 - products / sum(time for _, time in times)


def largest_operators(call: Callable[[], Any], count: int = 8) -> dict[str, float]:
    """Return each operator's share of the operators' own time, the largest first."""
    times = _own_times(call)
    total = sum(time for _, time in times)
    largest = sorted(times, key=lambda row: row[1], reverse=True)[:count]
    return {name: round(time / total, 4) for name, time in largest}


def _own_times(call: Callable[[], Any]) -> list[tuple[str, float]]:
    """Return (operator, microseconds of its own on the CPU)."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    return [(row.key, row.self_cpu_time_total) for row in profiler.key_averages()]
