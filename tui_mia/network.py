"""Whether a process may use the network: only where the spec names a model on a hub, or something by URL."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Final

from tui_mia.spec import AuditSpec, ModelSpec, checkpoint_path, has_own_weights
from tui_mia.storage import is_url

_REACHING_OUT: Final = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_ASKING_FOR_A_NAME: Final = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
# Read when the hub's library is loaded: nobody is told what is audited.
_NOT_TOLD: Final = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class NetworkRefusedError(OSError):
    """Something wants to use the network in an audit of what is on this machine."""

    def __init__(self) -> None:
        super().__init__("an audit whose spec names neither a model on a hub nor a URL uses no network")


def names_a_hub(spec: AuditSpec) -> bool:
    """Whether the weights of the model or of the reference may have to be fetched."""
    return any(map(is_on_a_hub, filter(None, (spec.model, spec.reference_model))))


def names_a_url(spec: AuditSpec) -> bool:
    """Whether a pool or a checkpoint lies in object storage."""
    models = filter(None, (spec.model, spec.reference_model))
    named = [model.pretrained for model in models]
    for pool in spec.pool_specs().values():
        named += [*pool.source, pool.keys]
    return any(is_url(name) for name in named if name)


def is_on_a_hub(model: ModelSpec) -> bool:
    """Whether a model is named by where it is on a hub, or by a tag, and not by a file or folder."""
    if has_own_weights(model.architecture):
        return not model.architecture.startswith("local-dir:")
    return checkpoint_path(model.pretrained) is None


def environment_of(spec: AuditSpec) -> dict[str, str]:
    """What the libraries that could use the network are told, before they are loaded."""
    return _NOT_TOLD if names_a_hub(spec) else _NOT_TOLD | _OFFLINE


def keep_off_hubs(spec: AuditSpec) -> None:
    """Tell the libraries of this process that they are offline, unless the spec names a model on a hub."""
    os.environ |= environment_of(spec)


def keep_off_the_network(spec: AuditSpec) -> None:
    """Forbid this process the network for good, unless the spec names a model on a hub, or a URL.

    A model's configuration names what it likes, a tokenizer on a hub for instance.
    """
    keep_off_hubs(spec)
    if not names_a_hub(spec) and not names_a_url(spec):
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _ASKING_FOR_A_NAME or (
        event in _REACHING_OUT and arguments[0].family in (socket.AF_INET, socket.AF_INET6)
    ):
        raise NetworkRefusedError
