"""What the size of the bank does to `loss`: AUC on the sample world's candidates, over draws of banks.

    python benchmarks/bank_sizes.py

Banks are drawn from the known non-members and from pairs that the target never saw.
Clip art and a small model with a logit scale of 15: half a minute on two cores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from tui_mia.attacks.attack import Known
from tui_mia.attacks.loss import BankLoss
from tui_mia.embedded import Block
from tui_mia.encoder import load_target
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.encoded_pool import block_of
from tui_mia.pools import plan_shards, read_shard
from tui_mia.spec import ModelSpec, PoolSpec

WORLD = Path(__file__).resolve().parent.parent / "sample_data"
SIZES = (64, 128, 256, 512, 1024)
DRAWS = 8


class Bank:
    """Pairs as a pool that `loss` takes as they are."""

    def __init__(self, block: Block) -> None:
        self.similarities, self._block = block.similarities, block
        self.keys = self.image_keys = np.arange(len(self), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.similarities)

    def take(self, rows: np.ndarray) -> Block:
        return self._block[rows]


def main() -> None:
    target = load_target(ModelSpec(architecture=f"local-dir:{WORLD / 'models' / 'target'}", device="cpu"))

    def encoded(*names: str) -> tuple[Block, list[bool | None]]:
        spec = PoolSpec(source=[str(WORLD / f"{name}.tar") for name in names])
        shards = plan_shards("candidates", spec)
        tables = [encode_shard(read_shard(shard, spec), target, 0, 0, 32)[0] for shard in shards]
        blocks = [block_of(table) for table in tables]
        members = [member for table in tables for member in table["member"].to_pylist()]
        sides = (
            np.concatenate([getattr(block, side) for block in blocks])
            for side in ("similarities", "image", "text")
        )
        return Block(*sides), members

    candidates, members = encoded("candidates")
    everything, _ = encoded("nonmembers", "unseen")
    draw = np.random.default_rng(0)
    print(f"logit scale {target.logit_scale:.1f}; csa {auc(members, candidates.similarities[:, 0]):.4f}")
    for size in (*SIZES, len(everything.similarities)):
        found = []
        for _ in range(DRAWS):
            bank = Bank(everything[draw.permutation(len(everything.similarities))[:size]])
            fitted = BankLoss().fit(Known(None, None, bank, target.logit_scale, 0))
            found.append(auc(members, fitted.score(candidates)))
        print(f"bank of {size:5}: AUC {np.mean(found):.4f}, standard deviation {np.std(found):.4f}")


def auc(members: list[bool | None], scores: np.ndarray) -> float:
    return float(roc_auc_score(members, scores))


if __name__ == "__main__":
    main()
