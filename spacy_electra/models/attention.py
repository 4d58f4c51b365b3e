"""Multi-head self-attention over packed rows, fused where it can be."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ElectraConfig
from .dropout import Dropout, drop
from .linear import Linear
from .norm import LayerNorm
from .packing import AttentionLayout, Segment
from .training.attention import attend_and_learn

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

# On a CPU, matrix products with an explicit softmax beat the fused kernel up to this
# length, with and without gradients (benchmarks/attention.py).
LONGEST_EXPLICIT = {torch.bfloat16: 384, torch.float32: 0}
# With fewer rows, starting three operators takes longer than what they do
# (benchmarks/attention.py --tokens 32 --threads 1).
FEWEST_ROWS_EXPLICIT = 65
# torch's softmax of bf16 takes up to five times as long for rows that are no multiple
# of 32, so rows of that many go through fp32, in chunks that fit the cache
# (benchmarks/attention.py).
FEWEST_KEYS_IN_CHUNKS = 16
SCORES_IN_A_CHUNK = 1 << 18


class SelfAttention(nn.Module):
    """Self-attention and the residual sum after it.

    Query, key and value come from one matrix product (``qkv``, rows in that order).
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        # The heads that pruning left, by their first numbers, which head masks use.
        self.kept = tuple(range(self.heads))
        self.head_width = config.head_width
        self.attention_dropout = config.attention_probs_dropout_prob
        self.position_type = config.position_embedding_type
        self.qkv = Linear(width, 3 * width)
        self.output = Linear(width, width)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.norm = LayerNorm(width, eps=config.layer_norm_eps)
        if self.position_type != "absolute":
            self.distance_embedding = nn.Embedding(
                2 * config.max_position_embeddings - 1, self.head_width
            )
            self.max_distance = config.max_position_embeddings - 1

    def forward(
        self, hidden: Tensor, layout: AttentionLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        """Attend within each sequence.

        Args:
            hidden: float [T, H].
            layout: Where the sequences are.
            layer: Number of this layer, which picks its head mask.

        Returns:
            The new hidden states, float [T, H], and the attention weights, float
            [B, heads, Q, K], where there is one segment and ``layout.eager`` is set.
        """
        projected = self.qkv(hidden)
        weights = None
        if _takes_any_lengths(projected, layout):
            context = self._varlen(projected, layout)
        elif self.learns_here(projected, layout):
            context = attend_and_learn(
                projected,
                layout.segments,
                self.heads,
                self.attention_dropout,
                layout.causal,
            )
        else:
            contexts = []
            all_parts = split_heads(projected, layout.segments, self.heads)
            for parts, segment in zip(all_parts, layout.segments, strict=True):
                if layout.eager:
                    part, weights = self._eager(parts, layout, layer)
                else:
                    part = self._attend(parts, segment, layout)
                contexts.append(part)
            context = _join(contexts, like=projected[:, : self.output.in_features])
        return self.add(hidden, context), weights

    def add(self, hidden: Tensor, context: Tensor) -> Tensor:
        """The residual sum with what attention found, float [..., H] both."""
        return self.norm(hidden + self.dropout(self.output(context)))

    def prune(self, heads: Collection[int]) -> None:
        """Drop some heads, by their first numbers; those that are gone stay so."""
        left = [place for place, head in enumerate(self.kept) if head not in heads]
        places = torch.arange(3 * self.heads, device=self.qkv.weight.device)
        places = places.view(3, self.heads)[:, left].reshape(-1, 1) * self.head_width
        rows = places + torch.arange(self.head_width, device=places.device)
        rows = rows.flatten()
        width = len(left) * self.head_width
        with torch.no_grad():
            self.qkv.weight.data = self.qkv.weight[rows]
            self.qkv.bias.data = self.qkv.bias[rows]
            self.output.weight.data = self.output.weight[:, rows[:width]]
        for weight in (self.qkv.weight, self.qkv.bias, self.output.weight):
            weight.grad = None
        self.qkv.out_features, self.output.in_features = 3 * width, width
        self.heads = len(left)
        self.kept = tuple(self.kept[place] for place in left)

    def _merge(self, context: Tensor) -> Tensor:
        """From [count, heads, length, d] back to rows [count * length, H]."""
        return context.transpose(1, 2).reshape(-1, self.heads * self.head_width)

    def learns_here(self, rows: Tensor, layout: AttentionLayout) -> bool:
        """Whether ``training/attention.py`` serves this batch.

        Args:
            rows: Of the dtype and on the device that it is computed with.
            layout: Where the sequences are.
        """
        longest = LONGEST_EXPLICIT.get(rows.dtype, 0)
        return (
            self.training
            and torch.is_grad_enabled()
            and rows.device.type == "cpu"
            and rows.dtype != torch.float16
            and not layout.eager
            and self.attention_dropout < 1.0
            and (self.attention_dropout > 0.0 or layout.longest <= longest)
        )

    def _dropout_probability(self) -> float:
        return self.attention_dropout if self.training else 0.0

    def _attend(
        self, parts: Tensor, segment: Segment, layout: AttentionLayout
    ) -> Tensor:
        """Attention of a segment by whatever is fastest for it, as rows [n, H]."""
        padding = segment.padding
        context = attend(
            parts,
            bias=padding.bias if padding else None,
            dropout=self._dropout_probability(),
            causal=layout.causal,
        )
        merged = self._merge(context)
        return merged if padding is None else padding.unpad(merged)

    def _varlen(self, projected: Tensor, layout: AttentionLayout) -> Tensor:
        """All sequences in one call of the kernel that takes any lengths (CUDA)."""
        rows = projected.view(-1, 3, self.heads, self.head_width)
        query, key, value = rows.unbind(1)
        assert layout.cumulative_lengths is not None
        context = varlen_attn(
            query,
            key,
            value,
            layout.cumulative_lengths,
            layout.cumulative_lengths,
            layout.longest,
            layout.longest,
            window_size=(-1, 0) if layout.causal else (-1, -1),
        )
        assert isinstance(context, Tensor)
        return context.reshape(-1, self.heads * self.head_width)

    def _eager(
        self, parts: Tensor, layout: AttentionLayout, layer: int
    ) -> tuple[Tensor, Tensor]:
        query, key, value = parts.unbind(0)
        bias = layout.bias
        if layout.causal:
            later = _later(query, key.shape[-2])
            bias = later if bias is None else bias + later
        head_mask = self.pick_mask(layout.head_masks, layer)
        context, weights = self.weigh(query, key, value, bias, head_mask)
        return self._merge(context), weights

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None = None,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attention by explicit weights, from the last Q of K positions to all.

        Args:
            query: float [B, heads, Q, d].
            key: float [B, heads, K, d].
            value: As ``key``.
            bias: Added to the scores, float [B or 1, 1, Q or 1, K].
            head_mask: What each head's weights are multiplied by, float [heads].

        Returns:
            float [B, heads, Q, d], and the weights, float [B, heads, Q, K].
        """
        query = query / math.sqrt(self.head_width)
        scores = query @ key.transpose(-1, -2)
        if self.position_type != "absolute":
            scores = scores + self._relative_scores(query, key)
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
        # The kernel computes in fp32 and rounds its result to the scores' precision.
        weights = torch.softmax(scores, dim=-1)
        weights = drop(weights, self.attention_dropout, self.training)
        if head_mask is not None:
            weights = weights * head_mask.to(weights.dtype)[:, None, None]
        return weights @ value, weights

    def pick_mask(self, head_masks: Tensor | None, layer: int) -> Tensor | None:
        """This layer's row of the head masks, for the heads that it has."""
        return None if head_masks is None else head_masks[layer, list(self.kept)]

    def _relative_scores(self, query: Tensor, key: Tensor) -> Tensor:
        """What relative positions add to the scores (Shaw et al., 2018).

        "relative_key" lets the query meet an embedding of the distance (their
        equation 4); "relative_key_query" adds the same for the key (Huang et al.,
        2020, method 4). ``query`` is already divided by the root of the head width.
        """
        steps = torch.arange(key.shape[-2], device=query.device)
        # With cached keys, the queries are the last ones.
        own = steps[-query.shape[-2] :]
        distance = own[:, None] - steps[None, :] + self.max_distance
        embedded = self.distance_embedding(distance).to(query.dtype)
        scores = torch.einsum("bhld,lrd->bhlr", query, embedded)
        if self.position_type == "relative_key_query":
            scaled = key / math.sqrt(self.head_width)
            scores = scores + torch.einsum("bhrd,lrd->bhlr", scaled, embedded)
        return scores


def split_heads(
    projected: Tensor, segments: Sequence[Segment], heads: int
) -> list[Tensor]:
    """Queries, keys and values of each segment.

    The rows are cut in one step, which has one step on the way back; were each segment
    sliced on its own, each would get a gradient of the size of the whole.

    Args:
        projected: All three of each row side by side, float [T, 3 H].
        segments: Cover all rows, in order.
        heads: Number of heads.

    Returns:
        For each segment, with its padding, float [3, count, heads, length, d].
    """
    rows: Sequence[Tensor] = [projected]
    if len(segments) != 1:
        rows = projected.split([segment.rows for segment in segments])
    split = []
    for part, segment in zip(rows, segments, strict=True):
        padding = segment.padding
        part = part if padding is None else padding.pad(part)
        split.append(parts_of(part, segment, heads))
    return split


def parts_of(rows: Tensor, segment: Segment, heads: int) -> Tensor:
    """As ``split_heads``, of the rows of one segment with its padding."""
    parts = rows.view(segment.count, segment.length, 3, heads, -1)
    return parts.permute(2, 0, 3, 1, 4)


def attend(
    parts: Tensor,
    *,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Attention by whatever is fastest for sequences of one length.

    Args:
        parts: Queries, keys and values, float [3, B, heads, length, d].
        bias: Added to the scores, float [B, 1, 1, length].
        dropout: Share of attention weights to drop.
        causal: Whether a piece sees only those before it and itself.
        scale: What the scores are multiplied by; None for one over the root of d.

    Returns:
        float [B, heads, length, d].
    """
    # Where nothing is dropped, most of what is in fp32 needs no closer look.
    is_fused = not (dropout or LONGEST_EXPLICIT.get(parts.dtype))
    if not is_fused and _explicit_is_faster(parts, dropout):
        return explicit_attention(
            parts, bias=bias, dropout=dropout, causal=causal, scale=scale
        )
    query, key, value = parts.unbind(0)
    if bias is not None:
        bias = bias.to(query.dtype)
        if causal:
            # The kernel takes the one or the other.
            bias, causal = bias + _later(bias, parts.shape[-2]), False
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=bias,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
    )


def explicit_attention(
    parts: Tensor,
    *,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Attention by batched matrix products and a softmax; arguments as in ``attend``.

    Returns:
        float [B, heads, length, d].
    """
    _, count, heads, length, width = parts.shape
    query, key, value = parts.reshape(3, count * heads, length, width).unbind(0)
    scale = 1 / math.sqrt(width) if scale is None else scale
    query = query if scale == 1.0 else query * scale
    scores = torch.bmm(query, key.transpose(1, 2))
    if bias is not None:
        scores.view(count, heads, length, length).add_(bias)
    if causal:
        scores = scores + _later(scores, length)
    # The kernel computes in fp32 and rounds its result to the scores' precision.
    if _is_faster_by_chunks(scores):
        weights = softmax_by_chunks(scores)
    else:
        weights = torch.softmax(scores, dim=-1)
    weights = drop(weights, dropout) if dropout else weights
    return torch.bmm(weights, value).view(count, heads, length, width)


def _is_faster_by_chunks(scores: Tensor) -> bool:
    return (
        scores.dtype == torch.bfloat16
        and scores.device.type == "cpu"
        and not scores.requires_grad
        and scores.shape[-1] >= FEWEST_KEYS_IN_CHUNKS
    )


def softmax_by_chunks(scores: Tensor) -> Tensor:
    """The softmax of bf16 scores, [N, Q, K], in their place, by way of fp32.

    What comes out is the same but for the last bit of few numbers.
    """
    rows = max(1, SCORES_IN_A_CHUNK // (scores.shape[1] * scores.shape[2]))
    for part in scores.split(rows):
        part.copy_(torch.softmax(part.float(), dim=-1))
    return scores


def _explicit_is_faster(parts: Tensor, dropout: float) -> bool:
    if parts.device.type != "cpu":
        return False
    # The fused kernel has no dropout: torch would do the same, with a dearer mask.
    if dropout > 0.0:
        return True
    _, count, _, length, _ = parts.shape
    longest = LONGEST_EXPLICIT.get(parts.dtype, 0)
    is_small = count * length < FEWEST_ROWS_EXPLICIT and not parts.requires_grad
    return length <= longest and not is_small


def bias_of(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the scores so that masked positions get no weight.

    Args:
        mask: 1 or True for a key that is seen, [B, K], or [B, Q, K].
        dtype: Of the scores.

    Returns:
        Of that dtype, [B, 1, 1 or Q, K].
    """
    seen = mask.bool()
    seen = seen[:, None, None] if seen.dim() == 2 else seen[:, None]
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    # The least finite number, not -inf: a row that sees nothing must not become NaN.
    return bias.masked_fill_(~seen, torch.finfo(dtype).min)


def _later(like: Tensor, length: int) -> Tensor:
    """Minus infinity where the key comes after the query, 0 elsewhere."""
    return like.new_full((length, length), -math.inf).triu(1)


def _join(contexts: list[Tensor], like: Tensor) -> Tensor:
    """The rows of all segments; those of a batch without any are none."""
    if len(contexts) == 1:
        return contexts[0]
    return torch.cat(contexts) if contexts else like


def _takes_any_lengths(projected: Tensor, layout: AttentionLayout) -> bool:
    """Whether the kernel for sequences of any length serves this batch."""
    return layout.cumulative_lengths is not None and projected.dtype in (
        torch.float16,
        torch.bfloat16,
    )


def varlen_available(device: torch.device, dropout: float, training: bool) -> bool:
    """Whether torch has attention over packed sequences on this device.

    The kernel has no dropout, so training with attention dropout does without it.
    """
    return (
        varlen_attn is not None
        and device.type == "cuda"
        and not (training and dropout > 0.0)
    )
