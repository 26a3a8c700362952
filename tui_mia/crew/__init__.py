"""The encoders of an audit: one in the worker itself, one a device of this machine, or those of a cluster.

They move descriptions of shards and what is told of them, never pixels: each opens the
shards that it is given, and leaves parts in the run directory.
"""

from tui_mia.crew.encoders import CrewError, Encoders
from tui_mia.crew.loaded import About, ModelFacts
from tui_mia.crew.opening import open_encoders

__all__ = ["About", "CrewError", "Encoders", "ModelFacts", "open_encoders"]
