"""The terminal: Textual's driver, except for what it makes of being continued."""

from __future__ import annotations

import asyncio

from textual.drivers.linux_driver import LinuxDriver


class Terminal(LinuxDriver):
    """Takes a SIGCONT for the end of a suspension only where there was one.

    Textual's driver would begin anew whenever it comes: with a second thread for
    input, of which one would never end and keep a core busy, and with the raw
    terminal as the one to go back to.
    """

    def _sigcont_application(self, *_: object) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._has_the_terminal:
            # In its turn, as this may have interrupted whoever is writing.
            asyncio.get_running_loop().call_soon_threadsafe(self._set_up_again)

    @property
    def _has_the_terminal(self) -> bool:
        return self._writer_thread is not None and self._writer_thread.is_alive()

    def _set_up_again(self) -> None:
        """Take the terminal again: who was stopped by SIGSTOP had no time to give it back."""
        if self._has_the_terminal:
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.refresh(layout=True)
