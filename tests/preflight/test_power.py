"""Which comparison an audit will make, what it can show, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tui_mia.pools import PoolName
from tui_mia.power import samples_needed, smallest_detectable_auc
from tui_mia.preflight.counts import PoolCount
from tui_mia.preflight.power import estimate_power, of_attacks, of_evidence, of_power
from tui_mia.spec import AuditSpec

Audit = Callable[..., AuditSpec]


@pytest.fixture
def audit(audit_of: Audit) -> AuditSpec:
    return audit_of({"candidates": {"source": "candidates.tar"}})


def count(kept: int, members: int = 0, nonmembers: int = 0, outside: int | None = None) -> PoolCount:
    return PoolCount(kept, members, nonmembers, kept if outside is None else outside)


def test_members_are_compared_with_nonmembers_where_both_are_labelled(audit: AuditSpec) -> None:
    power = estimate_power(audit, {"candidates": count(1400, 400, 1000), "nonmembers": count(300)})
    assert power is not None
    assert (power.kind, power.positives, power.negatives) == ("labelled", 400, 1000)
    assert power.detectable_auc == smallest_detectable_auc(400, 1000)
    assert power.resolved == {0.1: True, 0.01: True, 0.001: False}
    first, second = of_power(power)
    assert first.level == "ok"
    assert "no true positive rate at 0.1 % false positives" in second.words
    assert "10,000 non-members would do" in second.words


@pytest.mark.parametrize("candidates", [count(500), count(500, 500, 0), count(500, 0, 20)])
def test_candidates_are_compared_with_known_nonmembers_otherwise(
    audit: AuditSpec, candidates: PoolCount
) -> None:
    power = estimate_power(audit, {"candidates": candidates, "nonmembers": count(300)})
    assert power is not None
    assert (power.kind, power.positives, power.negatives) == ("group", 500, 300)


def test_candidates_alone_have_nothing_to_be_compared_with(audit: AuditSpec) -> None:
    assert estimate_power(audit, {"candidates": count(500, 500, 0)}) is None
    (finding,) = of_power(None)
    assert finding.level == "warning"
    assert "there is no comparison set" in finding.words


def test_too_few_samples_are_told_with_how_many_would_do(audit: AuditSpec) -> None:
    power = estimate_power(audit, {"candidates": count(60, 30, 30)})
    needed = samples_needed(0.6, 1.0)
    assert power is not None
    assert needed is not None
    assert power.needed == needed
    words = next(of_power(power)).words
    assert "too few for the smallest AUC worth finding, 0.60" in words
    assert f"about {needed[0]:,} members and {needed[1]:,} non-members would do" in words


def test_hardly_any_samples_can_show_nothing(audit: AuditSpec) -> None:
    power = estimate_power(audit, {"candidates": count(6, 3, 3)})
    assert "can't tell any AUC from chance" in next(of_power(power)).words


def test_what_a_verdict_lacks_is_told(audit: AuditSpec) -> None:
    words = " ".join(finding.words for finding in of_evidence(audit, {"candidates": count(50, 50, 0)}))
    assert "no [reference] model" in words
    assert "all labelled candidates are members" in words
    assert "no [pools.nonmembers]: no p-values, and wsa and loss will be skipped" in words


def test_few_known_nonmembers_bound_the_p_values(audit: AuditSpec) -> None:
    words = [each.words for each in of_evidence(audit, {"candidates": count(50), "nonmembers": count(49)})]
    assert "49 known non-members: no p-value can be below 0.02." in words
    assert any("no [pools.general]" in each for each in words)


def test_an_audit_with_all_that_it_needs_lacks_nothing(audit_of: Audit, audit: AuditSpec) -> None:
    with_reference = audit_of(
        {"candidates": {"source": "candidates.tar"}}, reference={"architecture": "local-dir:reference"}
    )
    pools: dict[PoolName, PoolCount] = {
        "candidates": count(900, 400, 500),
        "nonmembers": count(300),
        "general": count(600),
    }
    assert list(of_evidence(with_reference, pools)) == []


def test_an_attack_that_can_not_be_fitted_is_a_problem(audit: AuditSpec) -> None:
    counts: dict[PoolName, PoolCount] = {"candidates": count(50), "nonmembers": count(24, outside=17)}
    (finding,) = of_attacks(audit, counts)
    assert finding.level == "problem"
    assert finding.words.startswith("wsa: 17 known non-members outside a fold are too few")
    assert list(of_attacks(audit, {"candidates": count(50), "nonmembers": count(60, outside=45)})) == []
