"""What `tui-mia doctor` found, for a reader."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.costs import DeviceSpeed
from tui_mia.doctor import Disk, Machine

LABEL_WIDTH = 11
_FORMATS = ("fp32", "bf16", "fp16")


def print_machine(machine: Machine) -> None:
    """The machine, its rates, and what an audit chooses on it."""
    console = Console(highlight=False)
    memory = f"{machine.memory_bytes / 2**30:,.1f} GB of memory"
    _line(console, "machine", f"{machine.cpu}, {machine.cores} cores, {memory}")
    if machine.failed is not None:
        _line(console, "torch", f"nothing could be measured with it: {machine.failed}")
    if machine.devices:
        console.print(_rates(machine.devices))
    for device in machine.devices:
        if device.problem:
            _line(console, device.device, device.problem)
    for precision, rate in machine.images_per_second.items():
        label = "decoding" if precision == "exact" else ""
        threads = f"by {machine.decode_threads} threads"
        _line(console, label, f"{rate:,.0f} images a second ({machine.image}, {precision}) {threads}")
    _disk(console, machine.disk)
    _line(console, "versions", ", ".join(f"{name} {number}" for name, number in machine.versions.items()))
    for device in machine.devices:
        for number, words in enumerate(_choices(device, machine)):
            _line(console, f"on {device.device}" if not number else "", words)
    _line(console, "auto", f'model.device = "auto" takes {machine.chosen}')


def _rates(devices: tuple[DeviceSpeed, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="matrix products, TFLOP a second", title_justify="left")
    table.add_column("device")
    for name in _FORMATS:
        table.add_column(name, justify="right")
    for device in devices:
        rates = (f"{device.flops[name] / 1e12:,.2f}" if name in device.flops else "-" for name in _FORMATS)
        table.add_row(" ".join(filter(None, (device.device, printable(device.name or "")))), *rates)
    return table


def _choices(device: DeviceSpeed, machine: Machine) -> list[str]:
    """What an audit does on a device; nothing is said of one that was not measured."""
    if device.exact is None or device.fast is None:
        return []
    batches = f"batches of {device.batch_size or 'what a probe finds to fill it'}"
    words = [f"exact is {device.exact}, fast is {device.fast}{_same(device)}; {batches}"]
    if device.packed is not None:
        packed = "are packed for oneDNN" if device.packed else "stay as torch has them"
        words.append(f"linear layers {packed}; {machine.threads} threads")
    return words


def _same(device: DeviceSpeed) -> str:
    return " as well, since no shorter format is faster here" if device.fast == device.exact else ""


def _disk(console: Console, disk: Disk) -> None:
    free = f"{disk.free_bytes / 2**30:,.1f} GB free in {disk.folder}"
    if disk.write_bytes_a_second is None or disk.read_bytes_a_second is None:
        _line(console, "disk", f"{free}; {disk.problem}")
        return
    write, read = (rate / 2**20 for rate in (disk.write_bytes_a_second, disk.read_bytes_a_second))
    where = "from the page cache" if disk.cached else "after the page cache was asked to drop it"
    _line(console, "disk", f"writes {write:,.0f} MB a second with fsync, reads {read:,.0f} {where}; {free}")


def _line(console: Console, label: str, words: str) -> None:
    width = max(console.width - LABEL_WIDTH, 20)
    for line in Text(printable(words)).wrap(console, width):
        line.rstrip()
        console.print(Text(f"{label:<{LABEL_WIDTH}}") + line, soft_wrap=True)
        label = ""
