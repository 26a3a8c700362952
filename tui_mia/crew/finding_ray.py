"""Which Ray an audit encodes on, and what has to be said before Ray is loaded."""

from __future__ import annotations

import os
import secrets
from typing import Final

from tui_mia.spec import AuditSpec

# A Ray that is started for the run, on this machine.
LOCAL: Final = "local"


def ray_address(spec: AuditSpec) -> str:
    """Where the Ray of an audit is, as `ray.init` takes it."""
    return spec.run.address or os.environ.get("RAY_ADDRESS") or LOCAL


def prepare_for_ray(spec: AuditSpec) -> None:
    """Set what Ray reads of the environment when it is loaded, for what it starts as well."""
    # Nobody is told what is done here.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if ray_address(spec) == LOCAL:
        # Ray listens to the whole network, and does what it is told there: only who knows this is heard.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
