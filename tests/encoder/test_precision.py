"""What `fast` may change, on the sample world: nothing that an audit would tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from tui_mia.attacks import AttackPools, make_attacks, run_attacks
from tui_mia.demo import sample_world
from tui_mia.encoder import EncodedPool, TargetModel, load_target, model, part_paths
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.parts import write_part
from tui_mia.pools import PoolName, plan_shards, read_shard
from tui_mia.scored import AttackScores
from tui_mia.spec import AeaSpec, AttacksSpec, CsaSpec, LossSpec, ModelSpec, PoolSpec, WsaSpec

VIEWS = 5
ENTRIES = 600
POOLS: tuple[PoolName, ...] = ("candidates", "nonmembers", "general")
# Whose scores are the same in every run, and whose are drawn.
DETERMINED = AttacksSpec(csa=CsaSpec(), aea=AeaSpec(views=VIEWS), loss=LossSpec())
DRAWN = AttacksSpec(wsa=WsaSpec(seeds=1))
DRAWS = 6
Scores = dict[str, AttackScores]


def load(precision: str) -> TargetModel:
    path = sample_world() / "models" / "target"
    return load_target(ModelSpec(architecture=f"local-dir:{path}", device="cpu", precision=precision))


def encode(target: TargetModel, folder: Path) -> AttackPools:
    for pool in POOLS:
        spec = PoolSpec(source=[str(sample_world() / f"{pool}.tar")])
        for shard in plan_shards(pool, spec):
            items = islice(read_shard(shard, spec), ENTRIES)
            write_part(folder, pool, shard.index, 0, *encode_shard(items, target, VIEWS, 0, 32))
    candidates, nonmembers, general = (EncodedPool(part_paths(folder, pool)) for pool in POOLS)
    return AttackPools(candidates, nonmembers, general, None)


def scores(encoded: Encoded, attacks: AttacksSpec, seed: int = 0) -> Scores:
    outcome = run_attacks(make_attacks(attacks), encoded.pools, encoded.logit_scale, seed)
    assert outcome.failed == {}
    return {of.attack: of for of in outcome.scores}


@dataclass(frozen=True)
class Encoded:
    """The sample world as a model sees it; `member` are the labels [n] of its candidates, 1, 0 and NaN."""

    pools: AttackPools
    logit_scale: float
    member: NDArray[np.float64]

    def auc(self, of: AttackScores) -> float:
        labelled = ~np.isnan(self.member)
        return float(roc_auc_score(self.member[labelled], of.candidates[labelled]))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Encoded]:
    """Encodes in a precision and a number format, whichever this CPU would have chosen; once each."""

    @cache
    def make(precision: str, number_format: str) -> Encoded:
        folder = tmp_path_factory.mktemp(precision)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "choose_number_format", lambda precision, device: number_format)
            target = load(precision)
        assert target.number_format == number_format
        pools = encode(target, folder)
        (path,) = part_paths(folder, "candidates")
        member = pq.read_table(path, columns=["member"])["member"].to_pylist()
        return Encoded(pools, target.logit_scale, np.array(member, dtype=float))

    return make


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_fast_changes_no_figure_of_what_is_not_drawn(
    number_format: str, encoded: Callable[[str, str], Encoded]
) -> None:
    """In both formats that `fast` may have on a CPU."""
    exact, fast = encoded("exact", "fp32"), encoded("fast", number_format)
    before, after = scores(exact, DETERMINED), scores(fast, DETERMINED)
    assert len(before) == 5
    assert before.keys() == after.keys()
    for name, of in before.items():
        assert abs(fast.auc(after[name]) - exact.auc(of)) <= 0.002, name
        assert spearmanr(of.candidates, after[name].candidates).statistic > 0.999, name


def test_fast_moves_what_is_drawn_by_no_more_than_its_spread_over_seeds(
    encoded: Callable[[str, str], Encoded],
) -> None:
    """Another last bit is another draw: the mean of several must not move by more than they differ."""
    exact, fast = encoded("exact", "fp32"), encoded("fast", "bf16")
    before, after = (
        [{name: of.auc(each) for name, each in scores(of, DRAWN, seed).items()} for seed in range(DRAWS)]
        for of in (exact, fast)
    )
    for name in before[0]:
        drawn, drawn_fast = ([draw[name] for draw in draws] for draws in (before, after))
        assert abs(fmean(drawn_fast) - fmean(drawn)) <= max(drawn) - min(drawn), name
