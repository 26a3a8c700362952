"""The checks of a run in groups, the ones that matter first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tui_mia.store import CheckRow

# The worst first; what no one has heard of is not taken for harmless.
_SEVERITY: Final = ("defect", "shift", "unstable", "underpowered", "note", "ok")
_UNKNOWN: Final = _SEVERITY.index("underpowered")

_GROUPS: Final = (
    ("Blind baselines", "Can the two sides be told apart without the model?", ("blind_",)),
    ("Reference model", "Do the attacks find the same on a model that saw no candidate?", ("reference",)),
    (
        "Negative control",
        "Do the attacks find something where there is nothing?",
        ("negative_control", "control_"),
    ),
    ("Near duplicates", "Do samples occur more than once?", ("duplicates_", "captions_")),
    ("Power", "What could this many samples have shown?", ("power",)),
    ("Samples", "Was anything fitted to a sample of the pairs?", ("sampled_",)),
    ("Stability", "Does the audit say the same when it is asked again?", ("stability_",)),
)
_OTHERS: Final = ("Other checks", "What else was looked at?")


@dataclass(frozen=True, slots=True)
class CheckGroup:
    """Checks that answer one question, the worst first; `outcome` is that of the worst."""

    title: str
    question: str
    checks: list[CheckRow]

    @property
    def outcome(self) -> str:
        return self.checks[0].outcome


def check_groups(checks: Sequence[CheckRow]) -> list[CheckGroup]:
    """The groups that have a check, the one with the worst outcome first."""
    members: dict[tuple[str, str], list[CheckRow]] = {}
    for check in checks:
        group = next(
            ((title, question) for title, question, names in _GROUPS if check.check.startswith(names)),
            _OTHERS,
        )
        members.setdefault(group, []).append(check)
    order = [*(group[:2] for group in _GROUPS), _OTHERS]
    groups = [
        CheckGroup(*group, sorted(members[group], key=_severity)) for group in order if group in members
    ]
    return sorted(groups, key=lambda group: _severity(group.checks[0]))


def is_amiss(check: CheckRow) -> bool:
    """Whether a check found something that stands against the scores."""
    return check.outcome not in ("ok", "note")


def _severity(check: CheckRow) -> int:
    return _SEVERITY.index(check.outcome) if check.outcome in _SEVERITY else _UNKNOWN
