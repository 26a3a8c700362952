"""Attacks by name: those shipped here, and those that other packages register as entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from tui_mia.attacks.aea import aea
from tui_mia.attacks.attack import Attack, AttackError
from tui_mia.attacks.csa import csa
from tui_mia.attacks.loss import loss
from tui_mia.attacks.wsa import wsa
from tui_mia.scored import CALIBRATED
from tui_mia.spec import ATTACK_ENTRY_POINTS, AttacksSpec


def make_attacks(spec: AttacksSpec) -> list[Attack]:
    """The attacks that a spec asks for, in its order; one name may bring several scores.

    Raises:
        AttackError: if two attacks bring a score of the same name, or an added
            attack can't be imported or doesn't accept its options.
    """
    attacks: list[Attack] = []
    if spec.csa is not None:
        attacks += csa()
    if spec.aea is not None:
        attacks += aea()
    if spec.wsa is not None:
        attacks += wsa(spec.wsa.lambda_, spec.wsa.seeds)
    if spec.loss is not None:
        attacks += loss()
    for name, options in spec.added().items():
        attacks += _added(name, options)
    names = [*(attack.name for attack in attacks), *CALIBRATED.values()]
    for name in names:
        if names.count(name) > 1:
            raise AttackError(f"{name}: two attacks bring a score of this name")
    return attacks


def make_stability_attacks(spec: AttacksSpec) -> list[Attack]:
    """WSA with one classifier a fold, the cheapest there is; none where it was not asked for.

    Run with another seed than the audit's, it says how far the scores depend on one.
    """
    return wsa(spec.wsa.lambda_, seeds=1) if spec.wsa is not None else []


def _added(name: str, options: dict[str, object]) -> list[Attack]:
    point, *others = entry_points(group=ATTACK_ENTRY_POINTS, name=name)
    if others:
        places = " and ".join(found.value for found in (point, *others))
        raise AttackError(f"attacks.{name}: {places} both add an attack of this name; uninstall one of them")
    try:
        factory: Callable[..., list[Attack]] = point.load()
    except (ImportError, AttributeError) as error:
        raise AttackError(f"attacks.{name}: {point.value} can't be imported: {error}") from None
    try:
        return list(factory(**options))
    except TypeError as error:
        raise AttackError(f"attacks.{name}: {error}") from None
