"""How many cores this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Return the cores that CPU affinity and the cgroup's quota leave, at least 1; not those of the host."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return max(1, min(affinity, math.ceil(quota)) if quota is not None else affinity)


def _cgroup_quota(cgroup: Path) -> float | None:
    """Read the quota in cores: ``cpu.max`` of cgroup v2, ``cpu.cfs_*`` of v1. None: no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cores = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None  # "max": no limit
    return cores if cores > 0 else None
