"""`python -m tui_mia` is `tui-mia`."""

from tui_mia.cli import main

main()
