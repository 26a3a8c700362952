"""What is said of a run wherever it is shown: how long, how much, how far, which model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tui_mia.runs import Progress
from tui_mia.runs.events import DeviceProgress

# So many lines leave room for the rest on a small screen.
DEVICES_SHOWN: Final = 8

SHORT_VERDICTS: Final[Mapping[str, str]] = {
    "inconclusive: distribution shift": "shift",
    "inconclusive: underpowered": "underpowered",
    "inconclusive: no comparison set": "uncompared",
}


def short_model(architecture: str | None, pretrained: str | None) -> str:
    """The model's name; of a folder or file the end of its path, which tells models apart."""
    names = [name for name in (architecture, pretrained) if name]
    return " ".join("/".join(name.split("/")[-2:]) for name in names)


def highest_auc(auc: Mapping[str, float]) -> str:
    """The best of several figures, and of how many, because the best of many is the luckiest one too."""
    if not auc:
        return "-"
    best = max(auc, key=lambda attack: auc[attack])
    return f"{auc[best]:.3f} {best} of {len(auc)}"


def short_verdict(outcome: str | None) -> str:
    """A verdict in at most twelve characters; a dash for none."""
    return "-" if outcome is None else SHORT_VERDICTS.get(outcome, outcome)


def duration(seconds: float) -> str:
    """A time that a person can take in, such as 1h05m or 12s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def rate(per_second: float, what: str = "") -> str:
    """How many a second, of what; of few the tenths count."""
    number = f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"
    return f"{number} {what}/s" if what else f"{number}/s"


def progress_figures(event: Progress) -> list[str]:
    """What a progress event says in numbers, in few words each, the most telling first."""
    return [*amount_figures(event), *speed_figures(event), *_memory_figures(event)]


def amount_figures(event: Progress) -> list[str]:
    """How much is done and how long the rest will take."""
    parts = []
    if event.per_second:
        parts.append(f"{event.samples:,} at {rate(event.per_second)}")
    if event.rejects:
        parts.append(f"{event.rejects:,} rejected")
    if event.eta_seconds is not None:
        parts.append(f"{duration(event.eta_seconds)} left")
    return parts


def speed_figures(event: Progress) -> list[str]:
    """What encoding is held up by, how much of the machine it uses, and how many inputs it encodes."""
    parts = []
    if event.bottleneck is not None:
        parts.append(f"{event.bottleneck}-bound")
    if event.share_of_peak is not None:
        decimals = 0 if event.share_of_peak >= 0.1 else 1
        parts.append(f"{event.share_of_peak:.{decimals}%} of peak")
    if event.views_per_second:
        parts.append(rate(event.views_per_second, "views"))
    if event.encodings_per_second:
        parts.append(rate(event.encodings_per_second, "encodings"))
    return parts


def device_figures(event: Progress, most: int = DEVICES_SHOWN) -> list[tuple[str, str]]:
    """Each encoder by name, where there are several, and what it does; of more than `most` the first."""
    told = [(device.device, _device_words(device)) for device in event.devices]
    rest = event.devices[most:]
    if not rest:
        return told
    together = rate(sum(device.per_second or 0.0 for device in rest))
    return [*told[:most], ("others", f"{len(rest)} at {together}")]


def _device_words(device: DeviceProgress) -> str:
    if device.is_lost:
        return f"{device.samples:,}, then lost"
    parts = [f"{device.samples:,} at {rate(device.per_second)}" if device.per_second else "no pair yet"]
    if device.device_memory_bytes is not None:
        parts.append(f"GPU {device.device_memory_bytes / 2**30:.1f} GB")
    if device.memory_bytes is not None:
        parts.append(f"{device.memory_bytes / 2**30:.1f} GB")
    return ", ".join(parts)


def fitting(figures: Sequence[str], cells: int) -> str:
    """As many of the first figures as so many cells have room for, at least one."""
    shown = ""
    for figure in figures:
        longer = f"{shown}, {figure}" if shown else figure
        if shown and len(longer) > cells:
            break
        shown = longer
    return shown


def _memory_figures(event: Progress) -> list[str]:
    if event.device_memory_bytes is not None:
        return [f"GPU {event.device_memory_bytes / 2**30:.1f} GB"]
    if event.memory_bytes is not None:
        return [f"{event.memory_bytes / 2**30:.1f} GB"]
    return []
