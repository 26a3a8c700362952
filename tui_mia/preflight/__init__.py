"""Preflight: everything that can be said of an audit before a GPU is used.

A spec comes in; counts, costs, power and findings in words go out. Files are read
once, as a stream, and images are not decoded. The model is asked about in a
process of its own: no torch enters here.
"""

from tui_mia.preflight.check import Preflight, check_audit
from tui_mia.preflight.finding import Finding, Level, Section

__all__ = ["Finding", "Level", "Preflight", "Section", "check_audit"]
