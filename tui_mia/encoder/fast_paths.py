"""Faster ways to the same embeddings, each with the plain way to fall back on.

On a CPU most of an audit is matrix products, and torch's default product is far
from the fastest that torch ships: oneDNN with weights laid out beforehand does
fp32 about twice as fast on AMD. Its operators are private to torch, so they are
used only where a probe finds them there, right and not slower. A causal text tower
never looks beyond a caption's end, but open_clip runs it over the whole context;
here it runs to the end of the longest caption of its kind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.nn import functional

# Tokens by which captions of a batch are told apart: each kind is a forward pass of its own.
KIND_OF_LENGTH = 8
# Packed unless clearly slower than torch's own, of one thread: where both are as fast, the layers around
# the product are still fewer. No CPU is known near this line, so the answer is the same in every run on a
# machine, and with it the last bits of scores.
WORTH_IT = 0.85
_PROBE = (400, 768, 3072)


class PackedLinear(nn.Module):
    """A linear layer by oneDNN, its weights in the layout that oneDNN wants, with GELU behind it if asked."""

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: str | None = None) -> None:
        super().__init__()
        # Named as in nn.Linear: open_clip asks it for its type.
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self.bias = None if bias is None else bias.detach()
        self._after = ("none", "") if gelu is None else ("gelu", gelu)

    def forward(self, inputs: Tensor) -> Tensor:
        name, algorithm = self._after
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.weight, self.bias, name, [], algorithm
        )
        return result


class PackedAttention(nn.Module):
    """Self-attention as `nn.MultiheadAttention` computes it, called as open_clip calls that."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.into = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self.out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool, attn_mask: Tensor | None
    ) -> tuple[Tensor, None]:
        """[n, L, W] to [n, L, W]; key and value are the query.

        `attn_mask` is added: [L, L], or [n * heads, L, L].
        """
        samples, length, width = query.shape
        if attn_mask is not None and attn_mask.dim() == 3:
            attn_mask = attn_mask.view(samples, self.heads, length, length)
        parts = self.into(query).view(samples, length, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask)
        return self.out(seen.transpose(1, 2).reshape(samples, length, width)), None


def speed_up(network: nn.Module) -> bool:
    """Pack the linear layers of open_clip's own transformers on a CPU, unless that is slower.

    Says whether it did. The network gives the same embeddings but for rounding, and its state_dict is
    no longer that of the checkpoint: take its fingerprint before.
    """
    blocks = [
        block
        for block in network.modules()
        if isinstance(block, ResidualAttentionBlock)
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.batch_first
        and block.attn.in_proj_weight is not None
    ]
    if not blocks or not packing_pays(blocks[0].get_weight_dtype()):
        return False
    for block in blocks:
        _pack(block)
    return True


def packing_pays(dtype: torch.dtype) -> bool:
    """Whether oneDNN's product is here, right, and not slower than torch's own, for this type on this CPU."""
    rows, inner, outer = _PROBE
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, inner, generator=generator).to(dtype)
    weight = (torch.randn(outer, inner, generator=generator) / inner**0.5).to(dtype)
    bias = torch.randn(outer, generator=generator).to(dtype)
    try:
        with torch.inference_mode():
            packed = PackedLinear(weight, bias)
            plain, other = functional.linear(inputs, weight, bias), packed(inputs)
            if not torch.allclose(plain.float(), other.float(), atol=1e-4 if dtype == torch.float32 else 0.1):
                return False
            of_torch, of_packed = seconds_of(
                lambda: functional.linear(inputs, weight, bias), lambda: packed(inputs)
            )
    except (RuntimeError, AttributeError):  # another torch, without these operators
        return False
    return of_torch > WORTH_IT * of_packed


def seconds_of(*ways: Callable[[], object]) -> list[float]:
    """CPU seconds of one thread for each, the best of seven in turn: what else runs here hardly counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = [math.inf] * len(ways)
    for _ in range(7):
        for place, way in enumerate(ways):
            start = time.thread_time()
            way()
            seconds[place] = min(seconds[place], time.thread_time() - start)
    torch.set_num_threads(threads)
    return seconds


def encode_texts(network: nn.Module, tokens: Tensor) -> Tensor:
    """[n, L] tokens to [n, D] embeddings, not yet of unit length: what `network.encode_text` gives.

    Where the tower is causal, captions of about the same length are encoded
    together, and no further than the longest of them.
    """
    tower = _causal_tower(network)
    if tower is None:
        whole: Tensor = network.encode_text(tokens)  # type: ignore[operator]
        return whole
    ends = _ends(tower, tokens)
    kinds = ends // KIND_OF_LENGTH
    parts: list[Tensor] = []
    rows: list[Tensor] = []
    for kind in kinds.unique().tolist():
        rows.append((kinds == kind).nonzero().squeeze(1))
        parts.append(_to_the_end(tower, tokens[rows[-1]], ends[rows[-1]]))
    return torch.cat(parts)[torch.cat(rows).argsort()]


def tokens_run(network: nn.Module, tokens: Tensor) -> int:
    """Over how many of [n, L] tokens `encode_texts` runs the tower; tokens on a GPU would be waited for."""
    tower = _causal_tower(network)
    if tower is None:
        return tokens.numel()
    ends = _ends(tower, tokens)
    kinds = ends // KIND_OF_LENGTH
    return sum(
        len(of_kind) * (int(of_kind.max()) + 1)
        for of_kind in (ends[kinds == kind] for kind in kinds.unique())
    )


def _pack(block: Any) -> None:
    # A block that takes keys from elsewhere is no self-attention.
    if not hasattr(block, "ln_1_kv"):
        block.attn = PackedAttention(block.attn)
    mlp = block.mlp
    gelu = mlp.gelu.approximate if type(mlp.gelu) is nn.GELU else None
    mlp.c_fc = PackedLinear(mlp.c_fc.weight, mlp.c_fc.bias, gelu)
    if gelu is not None:
        mlp.gelu = nn.Identity()
    mlp.c_proj = PackedLinear(mlp.c_proj.weight, mlp.c_proj.bias)


def _causal_tower(network: nn.Module) -> Any | None:
    """The part of a network that sees captions, if what comes after their end can't change what it says."""
    tower: Any = network if type(network) is open_clip.CLIP else getattr(network, "text", None)
    if not (tower is network or (type(tower) is TextTransformer and tower.cls_emb is None)):
        return None
    plain = tower.attn_mask is not None and not getattr(tower, "output_tokens", False)
    return tower if plain and _pool(tower) in ("argmax", "eos") else None


def _pool(tower: Any) -> str:
    pool: str = getattr(tower, "text_pool_type", None) or tower.pool_type
    return pool


def _ends(tower: Any, tokens: Tensor) -> Tensor:
    """[n], the place in each caption whose output is its embedding."""
    if _pool(tower) == "argmax":
        return tokens.argmax(dim=-1)
    end: int = getattr(tower, "text_eos_id", None) or tower.eos_id
    return (tokens == end).int().argmax(dim=-1)


def _to_the_end(tower: Any, tokens: Tensor, ends: Tensor) -> Tensor:
    """[n, D], the embeddings of captions of which none goes on behind its place in `ends`."""
    length = int(ends.max()) + 1
    cast = tower.transformer.get_cast_dtype()
    embedded = tower.token_embedding(tokens[:, :length]).to(cast) + tower.positional_embedding[:length].to(
        cast
    )
    seen = tower.ln_final(tower.transformer(embedded, attn_mask=tower.attn_mask[:length, :length]))
    pooled: Tensor = seen[torch.arange(len(seen), device=seen.device), ends]
    project = tower.text_projection
    if project is None:
        return pooled
    projected: Tensor = project(pooled) if isinstance(project, nn.Module) else pooled @ project
    return projected
