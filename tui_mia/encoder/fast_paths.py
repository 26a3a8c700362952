"""Faster ways to the same embeddings, each with the plain way to fall back on.

On a CPU most of an audit is matrix products, and torch's default product is far
from the fastest that torch ships: oneDNN with weights laid out beforehand does
fp32 about twice as fast on AMD. Its operators are private to torch, so they are
used only where a probe finds them there, right and not slower. A causal text tower
never looks beyond a caption's end, but open_clip runs it over the whole context;
here it runs to the end of the longest caption of its kind. And where an embedding
is made of a single token, the last block of a tower need not be run for the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from open_clip.transformer import ResidualAttentionBlock, TextTransformer, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

# Tokens by which captions of a batch are told apart: each kind is a forward pass of its own.
KIND_OF_LENGTH = 8
# Packed unless clearly slower than torch's own, of one thread: where both are as fast, the layers around
# the product are still fewer. No CPU is known near this line, so the answer is the same in every run on a
# machine, and with it the last bits of scores.
WORTH_IT = 0.85
# oneDNN compiles a product for each number of rows that it meets and keeps what it compiled; captions
# come in all numbers of rows, so that memory would grow for hours. Rounded up they are few.
ROWS_TOGETHER = 32
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
        """[..., inner] to [..., outer]."""
        name, algorithm = self._after
        rows = inputs.reshape(-1, inputs.shape[-1])
        missing = -len(rows) % ROWS_TOGETHER
        if missing:
            rows = functional.pad(rows, (0, 0, 0, missing))
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, name, [], algorithm)
        return result[: len(rows) - missing].view(*inputs.shape[:-1], -1)


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


class LastBlock(nn.Module):
    """A transformer's last block, for the one token of a sample that becomes its embedding.

    `layer` makes a linear layer of a weight and a bias.
    """

    def __init__(self, block: Any, layer: Callable[[Tensor, Tensor | None], nn.Module]) -> None:
        super().__init__()
        attention = block.attn
        width, weight, bias = attention.embed_dim, attention.in_proj_weight, attention.in_proj_bias
        self.heads = attention.num_heads
        self.query = layer(weight[:width], None if bias is None else bias[:width])
        self.key_and_value = layer(weight[width:], None if bias is None else bias[width:])
        self.out = layer(attention.out_proj.weight, attention.out_proj.bias)
        self.ln_1, self.ls_1, self.ln_2, self.ls_2 = block.ln_1, block.ls_1, block.ln_2, block.ls_2
        self.mlp = block.mlp
        self._dtype: torch.dtype = block.get_weight_dtype()

    def get_weight_dtype(self) -> torch.dtype:
        """Asked of a tower's first block, which may be its last."""
        return self._dtype

    def forward(
        self, inputs: Tensor, attn_mask: Tensor | None = None, places: Tensor | None = None
    ) -> Tensor:
        """[n, L, W] to [n, 1, W], the token of each sample at its place.

        `places` is [n]; without it, it is the first. `attn_mask` [L, L] is added.

        Raises:
            ValueError: for a mask without places, since the first token of a causal tower is no embedding.
        """
        if places is None:
            if attn_mask is not None:
                raise ValueError("a causal tower needs to be told where captions end")
            places = inputs.new_zeros(len(inputs), dtype=torch.long)
        samples, length, width = inputs.shape
        rows = torch.arange(samples, device=inputs.device)
        normalised = self.ln_1(inputs)
        size = width // self.heads
        queries = self.query(normalised[rows, places]).view(samples, self.heads, 1, size)
        keys_and_values = self.key_and_value(normalised).view(samples, length, 2, self.heads, size)
        keys, values = keys_and_values.permute(2, 0, 3, 1, 4)
        mask = None if attn_mask is None else attn_mask[places].view(samples, 1, 1, length).to(queries.dtype)
        seen = functional.scaled_dot_product_attention(queries, keys, values, mask)
        tokens = inputs[rows, places] + self.ls_1(self.out(seen.reshape(samples, width)))
        result: Tensor = (tokens + self.ls_2(self.mlp(self.ln_2(tokens)))).unsqueeze(1)
        return result


def speed_up(network: nn.Module) -> bool:
    """Have open_clip's own transformers do what an embedding needs and no more, on a CPU with packed layers.

    Says whether layers were packed; they are not where that is slower. The network
    gives the same embeddings but for rounding, its captions only through
    `encode_texts`, and its state_dict is no longer that of the checkpoint: take
    its fingerprint before, and count its operations.
    """
    blocks: list[Any] = [block for block in network.modules() if _is_plain(block)]
    pack = bool(blocks) and _on_cpu(blocks[0]) and packing_pays(blocks[0].get_weight_dtype())
    for tower in _single_token_towers(network):
        resblocks = tower.transformer.resblocks
        resblocks[-1] = _last_block(resblocks[-1], PackedLinear if pack else _linear)
    if pack:
        for block in blocks:
            _pack(block)
    return pack


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
    try:
        for _ in range(7):
            for place, way in enumerate(ways):
                start = time.thread_time()
                way()
                seconds[place] = min(seconds[place], time.thread_time() - start)
    finally:
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


def _single_token_towers(network: Any) -> list[Any]:
    """The towers whose embeddings are made of a single token of their last block."""
    visual: Any = getattr(network, "visual", None)
    towers = [_causal_tower(network)]
    if (
        type(visual) is VisionTransformer
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.output_tokens
    ):
        towers.append(visual)
    return [tower for tower in towers if tower is not None and _is_plain(tower.transformer.resblocks[-1])]


def _is_plain(block: Any) -> bool:
    """Whether a block is one that can be taken apart."""
    return bool(
        isinstance(block, ResidualAttentionBlock)
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.batch_first
        and block.attn.in_proj_weight is not None
    )


def _on_cpu(block: nn.Module) -> bool:
    return next(block.parameters()).device.type == "cpu"


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A linear layer that shares these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _last_block(block: Any, layer: Callable[[Tensor, Tensor | None], nn.Module]) -> nn.Module:
    """A block for one token alone; or the block, where open_clip has changed it and that is not the same."""
    weight = block.attn.in_proj_weight
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 3, block.attn.embed_dim, generator=generator).to(weight)
    mask = torch.full((3, 3), -math.inf, device=weight.device).triu(1)
    places = torch.tensor([1, 2], device=weight.device)
    tolerance = 1e-4 if weight.dtype == torch.float32 else 0.1
    try:
        with torch.inference_mode():
            last = LastBlock(block, layer)
            first, masked = block(inputs)[:, 0], block(inputs, attn_mask=mask)[[0, 1], [1, 2]]
            ours = [last(inputs)[:, 0], last(inputs, mask, places)[:, 0]]
    except (RuntimeError, AttributeError, TypeError):
        return block  # type: ignore[no-any-return]
    same = all(
        torch.allclose(ours_of.float(), theirs.float(), atol=tolerance)
        for ours_of, theirs in zip(ours, (first, masked), strict=True)
    )
    return last if same else block


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
    plain = (
        tower.attn_mask is not None
        and tower.transformer.batch_first
        and not getattr(tower, "output_tokens", False)
    )
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
    embedded = tower.token_embedding(tokens[:, :length]).to(cast)
    seen = embedded + tower.positional_embedding[:length].to(cast)
    mask = tower.attn_mask[:length, :length]
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        seen = block(seen, attn_mask=mask)
    if isinstance(last, LastBlock):
        pooled: Tensor = last(seen, mask, ends)[:, 0]
    else:
        pooled = last(seen, attn_mask=mask)[torch.arange(len(seen), device=seen.device), ends]
    pooled = tower.ln_final(pooled)
    project = tower.text_projection
    if project is None:
        return pooled
    projected: Tensor = project(pooled) if isinstance(project, nn.Module) else pooled @ project
    return projected
