"""The whole check: read the files while the model is asked about, count, estimate, and say what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tui_mia.pools import PoolName
from tui_mia.preflight.after import estimate_after
from tui_mia.preflight.counts import PoolCount, count_pools, of_pool
from tui_mia.preflight.earlier import earlier_runs
from tui_mia.preflight.finding import Finding
from tui_mia.preflight.model import CostProgram, Costs, Device, batch_size, device_of, of_models
from tui_mia.preflight.power import Power, estimate_power, of_attacks, of_evidence, of_power
from tui_mia.preflight.reading import PoolRead, read_pools
from tui_mia.preflight.workload import (
    MemoryEstimate,
    TimeEstimate,
    Workload,
    estimate_disk,
    estimate_memory,
    estimate_time,
    of_disk,
    of_memory,
    of_time,
    reference_share,
    workload,
)
from tui_mia.runs import Progress
from tui_mia.spec import AuditSpec

QUICK_ENTRIES = 1000


@dataclass(frozen=True)
class Preflight:
    """What is known of an audit that has not run; `entries_a_source` is None where all was read."""

    entries_a_source: int | None
    pools: Mapping[PoolName, PoolRead]
    counts: Mapping[PoolName, PoolCount]
    device: Device
    batch_size: int
    costs: Costs
    work: Workload
    time: TimeEstimate | None
    memory: MemoryEstimate | None
    disk_bytes: int | None
    power: Power | None
    findings: tuple[Finding, ...]

    @property
    def can_run(self) -> bool:
        return not any(finding.level == "problem" for finding in self.findings)

    @property
    def complete(self) -> bool:
        """Whether every source was read to its end, or to the limit that the spec sets."""
        return all(pool.whole for pool in self.pools.values())

    def document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "can_run": self.can_run,
            "complete": self.complete,
            "entries_read_a_source": self.entries_a_source,
            "findings": [asdict(finding) for finding in self.findings],
            "pools": {name: _pool(pool, self.counts[name]) for name, pool in self.pools.items()},
            "device": self.device.kind,
            "gpu": self.device.gpu and self.device.gpu.name,
            "batch_size": self.batch_size,
            "models": {table: asdict(cost) for table, cost in self.costs.models.items()},
            "work": asdict(self.work),
            "time": self.time and {**asdict(self.time), "total_seconds": self.time.total_seconds},
            "memory": self.memory and asdict(self.memory),
            "disk_bytes": self.disk_bytes,
            "power": self.power and _power(self.power),
        }


def check_audit(
    spec: AuditSpec, *, quick: bool, on_progress: Callable[[Progress], None] = lambda event: None
) -> Preflight:
    """Find out all that can be known of an audit without its device.

    With `quick`, at most 1,000 entries of each source are read and the rest is
    estimated from them.
    """
    entries = QUICK_ENTRIES if quick else None
    device = device_of(spec)
    database = Path(spec.output.database)
    known = earlier_runs(database, spec, device.kind, 1.0)
    with CostProgram(spec, device, time_encoding=known is None, time_after=True) as program:
        # torch is loaded while the files are read; but nothing is timed while another is at work.
        pools = read_pools(spec, entries, on_progress)
        on_progress(Progress("model", 0.99))
        costs = program.costs()
    counts = count_pools(pools)
    work = workload(spec, pools)
    earlier = known and earlier_runs(database, spec, device.kind, reference_share(costs), work.pairs)
    power = estimate_power(spec, counts)
    after = estimate_after(spec, counts, 0 if power is None else power.positives + power.negatives, costs)
    time = estimate_time(spec, work, costs, device, earlier, counts["candidates"].kept, after)
    memory = estimate_memory(spec, pools, counts, costs, device)
    disk = estimate_disk(spec, pools, work, costs)
    findings = (
        *(finding for name, pool in pools.items() for finding in of_pool(pool, counts[name])),
        *of_attacks(spec, counts),
        *of_models(spec, device, costs),
        *of_memory(memory, device),
        *of_time(spec, work, costs, time),
        *of_disk(disk, database),
        *of_power(power),
        *of_evidence(spec, counts),
    )
    return Preflight(
        entries,
        pools,
        counts,
        device,
        batch_size(spec, device),
        costs,
        work,
        time,
        memory,
        disk,
        power,
        findings,
    )


def _pool(pool: PoolRead, count: PoolCount) -> dict[str, Any]:
    sources = [
        {
            "source": source.source,
            "formats": list(source.formats),
            "files": source.files,
            "entries": source.entries,
            "expected_entries": source.expected_entries,
            "pairs": source.pairs,
            "members": source.members,
            "nonmembers": source.nonmembers,
            "rejects": source.reasons.total,
            "reasons": [asdict(kind) for kind in source.reasons.most_common()],
        }
        for source in pool.sources
    ]
    return {
        "problem": pool.problem,
        "kept": count.kept,
        "members": count.members,
        "nonmembers": count.nonmembers,
        "unlabelled": count.unlabelled,
        "left_out": dict(count.left_out),
        "sources": sources,
    }


def _power(power: Power) -> dict[str, Any]:
    resolved = {f"{point:g}": resolved for point, resolved in power.resolved.items()}
    return {**asdict(power), "resolved": resolved}
