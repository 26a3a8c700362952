"""The app in a real terminal, with the real worker: what no test in one process can see."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tui_mia.runs.directory import RunDirectory, runs_folder
from tui_mia.store import list_runs

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


class Terminal:
    """A tmux server of its own with one pane."""

    def __init__(self, folder: Path, socket: str, width: int, height: int) -> None:
        self._socket = folder / socket
        self._folder = folder
        self._size = (str(width), str(height))

    def open(self, *arguments: str) -> None:
        """Run tui-mia; the pane stays when it has ended, with its exit code as the last line."""
        command = f'{sys.executable} -m tui_mia {" ".join(arguments)}; echo "exit code $?"; exec cat'
        width, height = self._size
        self.tmux(
            "-f", os.devnull, "new-session", "-d", "-x", width, "-y", height, "-c", str(self._folder), command
        )

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait_for(self, *texts: str, seconds: float = 60.0) -> str:
        """Look until all of the texts are on the screen, and return what is there."""
        deadline = time.monotonic() + seconds
        while not all(text in (screen := self.screen()) for text in texts):
            assert time.monotonic() < deadline, f"{texts} never came; on the screen:\n{screen}"
            time.sleep(0.05)
        return screen

    def press_until(self, key: str, *texts: str) -> None:
        """Press a key again and again, as what was typed while the app took the terminal back is dropped."""
        deadline = time.monotonic() + 60.0
        while not all(text in (screen := self.screen()) for text in texts):
            assert time.monotonic() < deadline, f"{texts} never came; on the screen:\n{screen}"
            self.press(key)
            time.sleep(0.2)

    def in_full_screen(self) -> bool:
        return self.tmux("display-message", "-p", "#{alternate_on}#{mouse_any_flag}").strip() != "00"

    def takes_lines(self) -> bool:
        """Whether keys are echoed and come a line at a time, as a shell wants them."""
        with open(self.tmux("display-message", "-p", "#{pane_tty}").strip(), "rb", buffering=0) as tty:
            modes = termios.tcgetattr(tty)[3]
        return bool(modes & termios.ICANON and modes & termios.ECHO)

    def app(self) -> int:
        """The process id of the app."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], Terminal]]:
    monkeypatch.setenv("TERM", "xterm-256color")
    opened: list[Terminal] = []

    def make(width: int = 80, height: int = 24) -> Terminal:
        # A server that is just ending would take the next one's place.
        opened.append(Terminal(tmp_path, f"tmux-{len(opened)}", width, height))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_a_new_user_finds_what_to_do_and_the_way_out(terminal: Callable[..., Terminal]) -> None:
    pane = terminal()
    pane.open()
    pane.wait_for("2 Runs", "q Quit", "tui-mia demo")
    assert pane.in_full_screen()
    pane.press("q")
    pane.wait_for("exit code 0")
    assert not pane.in_full_screen()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal], number: int) -> None:
    pane = terminal()
    pane.open()
    pane.wait_for("2 Runs", "q Quit")
    os.kill(pane.app(), number)
    pane.wait_for(f"exit code {128 + number}")
    assert not pane.in_full_screen()


@pytest.mark.parametrize("signals", [[signal.SIGCONT], [signal.SIGSTOP, signal.SIGCONT]])
def test_whoever_is_continued_goes_on_and_ends_as_ever(
    terminal: Callable[..., Terminal], signals: list[signal.Signals]
) -> None:
    pane = terminal()
    pane.open()
    pane.wait_for("2 Runs", "q Quit")
    for number in signals:
        os.kill(pane.app(), number)
    pane.press_until("7", "following the end")
    assert not pane.takes_lines()
    pane.press("q")
    pane.wait_for("exit code 0")
    assert not pane.in_full_screen()
    assert pane.takes_lines()


def test_without_a_terminal_it_says_so(tui_mia: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    completed = tui_mia(stdin=subprocess.DEVNULL)
    assert completed.returncode == 2
    assert "needs a terminal" in completed.stderr


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_an_audit_from_an_empty_folder_to_a_picture(
    terminal: Callable[..., Terminal], small_audit: Path, tmp_path: Path, width: int, height: int
) -> None:
    pane = terminal(width, height)
    pane.open()
    pane.wait_for("2 Runs", "q Quit")
    pane.press("1")
    pane.wait_for("architecture")
    pane.press("F3")
    pane.wait_for("audit.toml")
    pane.press("Enter")
    pane.wait_for("70")
    pane.press("F5")
    pane.wait_for("done", "wsa_rich", seconds=120)
    (overview,) = list_runs(tmp_path / "audits.duckdb")
    assert overview.run.status == "done"
    pane.press("Enter")
    pane.wait_for("230 samples")
    pane.press("Enter")
    pane.wait_for("▀", "wsa_rich")
    pane.press("q")
    pane.wait_for("exit code 0")


def test_a_run_outlives_the_app_and_is_found_again(
    terminal: Callable[..., Terminal], small_audit: Path, tmp_path: Path
) -> None:
    pane = terminal()
    pane.open()
    pane.wait_for("2 Runs", "q Quit")
    pane.press("1")
    pane.press("F3")
    pane.wait_for("audit.toml")
    pane.press("Enter")
    pane.wait_for("70")
    pane.press("F5")
    pane.wait_for("load")
    pane.press("q")
    pane.wait_for("going on", "Leave it running")
    pane.press("l")
    pane.wait_for("exit code 0")
    (folder,) = runs_folder(tmp_path / "audits.duckdb").iterdir()
    assert RunDirectory(folder).is_running()
    pane.close()
    again = terminal()
    again.open()
    again.wait_for("done", seconds=120)
    again.press("q")
    again.wait_for("exit code 0")
