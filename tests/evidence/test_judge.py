"""What follows from scores and labels: figures, checks and the verdict of whole audits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tui_mia.evidence import Audited, Check, Judgement, Metric, SideScores, judge
from tui_mia.scored import AttackScores

Floats = NDArray[np.float64]
SMALLEST = 0.6


def compared(name: str, candidates: Floats, known: Floats) -> AttackScores:
    """Scores that depend on no fold, with what follows from them."""
    below = (candidates[:, None] > known) + 0.5 * (candidates[:, None] == known)
    at_least = (known >= candidates[:, None]).sum(axis=1)
    return AttackScores(
        attack=name,
        candidates=candidates,
        p_values=(1 + at_least) / (1 + len(known)),
        nonmembers=known,
        placements=below.mean(axis=1),
        nonmember_placements=1 - below.mean(axis=0),
        facts={},
    )


def audited(
    members: int = 200,
    others: int = 300,
    known: int = 150,
    signal: float = 1.0,
    visible: float = 0.0,
    labelled: bool = True,
    seed: int = 0,
) -> Audited:
    rng = np.random.default_rng(seed)
    member = np.repeat([1, 0], [members, others]).astype(np.int8)
    n = members + others
    attack = compared("csa", rng.normal(signal * member), rng.normal(size=known))
    blind = SideScores(rng.normal(visible * member), np.full(known, np.nan))
    if not labelled:
        blind = SideScores(rng.normal(size=n), rng.normal(size=known))
    samples = {"candidates": np.arange(n), "nonmembers": n + np.arange(known)}
    return Audited(
        attacks=[attack],
        member=member if labelled else np.full(n, -1, np.int8),
        duplicates=samples,
        same_captions=samples,
        blind={"all": blind},
        reference={},
        control=[],
    )


def metric(found: Judgement, name: str) -> Metric:
    (one,) = [each for each in found.metrics if each.metric == name]
    return one


def check(found: Judgement, name: str) -> Check:
    (one,) = [each for each in found.checks if each.check == name]
    return one


def outcome(found: Judgement) -> str:
    return found.verdicts[0].outcome


def test_members_that_score_higher_are_a_leak() -> None:
    found = judge(audited(), SMALLEST)
    assert outcome(found) == "leak"
    auc = metric(found, "auc")
    assert auc.low is not None
    assert auc.value is not None
    assert auc.low < auc.value
    assert auc.n == 500
    assert check(found, "blind_all").outcome == "ok"


def test_scores_without_signal_are_no_evidence_or_too_few() -> None:
    assert outcome(judge(audited(signal=0), SMALLEST)) == "no evidence"
    few = judge(audited(15, 15, signal=0), SMALLEST)
    assert outcome(few) == "inconclusive: underpowered"
    assert check(few, "power").outcome == "underpowered"


def test_without_labels_candidates_are_compared_with_known_nonmembers() -> None:
    found = judge(audited(signal=2, labelled=False), SMALLEST)
    assert outcome(found) == "leak"
    assert not [each for each in found.metrics if each.metric == "auc"]
    share = metric(found, "member_share").low
    assert share is not None
    # 200 of 500 are members, some of whom score as others do.
    assert 0.1 < share <= 0.4
    assert metric(found, "group_auc").n == 650


@pytest.mark.parametrize("labelled", [9, 10])
def test_a_few_labels_are_no_comparison_set_where_there_are_known_nonmembers(labelled: int) -> None:
    given = audited(signal=0.0)
    member = np.full(500, -1, np.int8)
    member[:labelled], member[-labelled:] = 1, 0
    known = replace(given.blind["all"], nonmembers=np.random.default_rng(1).normal(size=150))
    found = judge(replace(given, member=member, blind={"all": known}), SMALLEST)
    names = {each.metric for each in found.metrics}
    if labelled < 10:
        assert "group_auc" in names
        assert check(found, "labels").value == 18
    else:
        assert "auc" in names
        assert all(each.check != "labels" for each in found.checks)
    alone = replace(given, member=member, duplicates={"candidates": np.arange(500)})
    assert "auc" in {each.metric for each in judge(alone, SMALLEST).metrics}


def test_an_attack_fitted_to_the_candidates_has_a_wider_interval_in_a_group_only() -> None:
    for labelled, name in ((False, "group_auc"), (True, "auc")):
        given = audited(labelled=labelled, signal=0.3)
        fitted = replace(given, fitted_to_candidates=["csa"])
        narrow, wide = (metric(judge(each, SMALLEST), name) for each in (given, fitted))
        assert narrow.low is not None
        assert wide.low is not None
        assert narrow.value == wide.value
        assert (wide.low < narrow.low) == (not labelled)
        assert (wide.low == narrow.low) == labelled


def test_with_nothing_to_compare_there_is_no_comparison_set() -> None:
    alone = audited(labelled=False)
    attack = replace(
        next(iter(alone.attacks)), p_values=None, nonmembers=None, placements=None, nonmember_placements=None
    )
    only_candidates = {"candidates": alone.duplicates["candidates"]}
    found = judge(
        replace(alone, attacks=[attack], blind={}, duplicates=only_candidates, same_captions=only_candidates),
        SMALLEST,
    )
    assert [(verdict.attack, verdict.outcome) for verdict in found.verdicts] == [
        (None, "inconclusive: no comparison set")
    ]


def test_a_blind_baseline_that_does_as_well_makes_it_shift() -> None:
    found = judge(audited(signal=0.8, visible=0.9), SMALLEST)
    assert outcome(found) == "inconclusive: distribution shift"
    assert check(found, "blind_all").outcome == "shift"


@pytest.mark.parametrize("reference_signal", [0.0, 1.0])
def test_only_what_the_target_has_above_the_reference_is_a_leak(reference_signal: float) -> None:
    base = audited()
    rng = np.random.default_rng(1)
    scores = compared("csa", rng.normal(reference_signal * base.member), rng.normal(size=150))
    found = judge(replace(base, reference={"csa": scores}), SMALLEST)
    assert outcome(found) == ("leak" if reference_signal == 0 else "inconclusive: distribution shift")
    assert check(found, "reference").outcome == ("ok" if reference_signal == 0 else "shift")
    assert metric(found, "auc_above_reference").value is not None


def test_known_nonmembers_that_differ_among_themselves_are_a_defect() -> None:
    rng = np.random.default_rng(2)
    broken = compared("csa", rng.normal(1.0, size=75), rng.normal(size=75))
    found = judge(replace(audited(), control=[broken]), SMALLEST)
    assert check(found, "negative_control").outcome == "defect"
    sound = compared("csa", rng.normal(size=75), rng.normal(size=75))
    assert check(judge(replace(audited(), control=[sound]), SMALLEST), "negative_control").outcome == "ok"


def test_near_duplicates_widen_the_interval_and_are_counted() -> None:
    base = audited()
    (attack,) = base.attacks
    assert attack.nonmembers is not None
    thrice = replace(
        base,
        attacks=[compared("csa", np.repeat(attack.candidates, 3), attack.nonmembers)],
        member=np.repeat(base.member, 3),
        blind={},
        duplicates={
            "candidates": np.repeat(base.duplicates["candidates"], 3),
            "nonmembers": base.duplicates["nonmembers"],
        },
        same_captions={"candidates": np.arange(1500), "nonmembers": 1500 + np.arange(150)},
    )
    once, three_times = (metric(judge(each, SMALLEST), "auc") for each in (base, thrice))
    assert three_times.value == pytest.approx(once.value)
    assert three_times.low == pytest.approx(once.low, abs=0.003)
    assert check(judge(thrice, SMALLEST), "duplicates_within_candidates").value == 1500


@pytest.mark.parametrize("levels", [1, 5])
def test_constant_and_coarse_scores_give_the_same_in_any_row_order(levels: int) -> None:
    base = audited(signal=0, seed=3)
    coarse = np.floor(np.linspace(0, levels - 1e-9, 500))[np.random.default_rng(4).permutation(500)]

    def of_rows(order: NDArray[np.int64]) -> Judgement:
        known = np.floor(np.linspace(0, levels - 1e-9, 150))
        return judge(
            replace(
                base,
                attacks=[compared("csa", coarse[order], known)],
                member=base.member[order],
                blind={"all": SideScores(base.blind["all"].candidates[order], base.blind["all"].nonmembers)},
            ),
            SMALLEST,
        )

    rng = np.random.default_rng(5)
    plain, shuffled = of_rows(np.arange(500)), of_rows(rng.permutation(500))
    by_label = of_rows(np.argsort(base.member[np.arange(500)], kind="stable"))
    for name in ("auc", "balanced_accuracy", "tpr_at_fpr_0.1"):
        for other in (shuffled, by_label):
            assert metric(other, name).value == pytest.approx(metric(plain, name).value)
            assert metric(other, name).low == pytest.approx(metric(plain, name).low)
    if levels == 1:
        assert metric(plain, "auc").value == 0.5
