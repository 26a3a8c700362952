"""Exit codes: an interface, like any option."""

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    """All went well."""
    FAILED = 1
    """The audit, or what else was asked, failed."""
    USAGE = 2
    """The spec or the command line is wrong."""
    LOCKED = 3
    """The database is in use; nothing is lost, try again."""
    FOUND = 4
    """The verdict is what `--fail-on` asks to fail on."""
    INTERRUPTED = 130
    """Stopped by Ctrl+C or SIGTERM."""
