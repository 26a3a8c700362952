"""The panes of the app, one file each, with its stylesheet beside it."""
