"""What several encoders tell, as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tui_mia.crew.member import Place, Speed, Told
from tui_mia.runs.events import DeviceProgress
from tui_mia.runs.reporter import Pace, Reporter


class Tally:
    """Adds up what encoders tell, and lets the progress of a run say it of each."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._speeds: dict[str, Speed] = {}
        self._devices: dict[str, DeviceProgress] = {}

    def started(self, place: Place) -> None:
        """An encoder is being started, for the first time or again."""
        before = self._devices.get(place.name)
        self._devices[place.name] = DeviceProgress(place.name, before.samples if before else 0)
        self._speeds[place.name] = Speed()
        self._publish()

    def lost(self, name: str) -> None:
        """An encoder is gone for good."""
        self._devices[name] = replace(
            self._devices[name], per_second=None, memory_bytes=None, device_memory_bytes=None, is_lost=True
        )
        self._speeds[name] = Speed()
        self._publish()

    def hear(self, name: str, told: Told) -> None:
        self._speeds[name] = told.speed
        self._devices[name] = DeviceProgress(
            name,
            self._devices[name].samples + told.samples,
            told.speed.pace.per_second,
            told.speed.memory_bytes,
            told.speed.device_memory_bytes,
        )
        self._publish()

    def pace(self, entries_left: float) -> Pace:
        """How fast all of them are together; of the peak they have the share that they have on average."""
        speeds = [speed for speed in self._speeds.values() if speed.entries_per_second]
        if not speeds:
            return Pace()
        paces = [speed.pace for speed in speeds]
        entries = sum(speed.entries_per_second for speed in speeds)
        shares = [pace.share_of_peak for pace in paces if pace.share_of_peak is not None]
        stages = Counter(pace.bottleneck for pace in paces if pace.bottleneck is not None)
        return Pace(
            per_second=_sum(pace.per_second for pace in paces),
            eta_seconds=round(entries_left / entries, 1) if entries_left > 0 else None,
            views_per_second=_sum(pace.views_per_second for pace in paces),
            encodings_per_second=_sum(pace.encodings_per_second for pace in paces),
            share_of_peak=round(sum(shares) / len(shares), 4) if len(shares) == len(paces) else None,
            bottleneck=stages.most_common(1)[0][0] if stages else None,
        )

    def _publish(self) -> None:
        self._report.devices = tuple(self._devices.values())


def _sum(rates: Iterable[float | None]) -> float:
    return round(sum(rate or 0.0 for rate in rates), 2)
