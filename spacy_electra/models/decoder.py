"""The pass of a decoder that keeps keys and values or looks at another encoder.

It works on padded batches and computes every position. A decoder that does neither
takes the packed path of ``encoder.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Errors
from .attention import SelfAttention, bias_of
from .cache import Cache, LayerCache, PastKeyValues
from .config import ElectraConfig
from .encoder import Encoder, EncoderLayer
from .outputs import EncoderOutput
from .padded import check_mask


@dataclass(frozen=True)
class DecoderLayout:
    """What all layers of a pass share.

    Args:
        bias: Added to the scores of self-attention, float [B or 1, 1, S, P + S].
        states: Of the other encoder, for cross-attention, float [B, M, H].
        cross_bias: Added to the scores of cross-attention, float [B, 1, 1 or S, M].
        head_masks: What each head's weights are multiplied by, float [layers, heads].
        eager: Whether to compute attention weights explicitly.
    """

    bias: Tensor | None = None
    states: Tensor | None = None
    cross_bias: Tensor | None = None
    head_masks: Tensor | None = None
    eager: bool = False


def decode(
    encoder: Encoder,
    hidden: Tensor,
    layout: DecoderLayout,
    past: Cache | None,
    use_cache: bool,
    keep_all: bool,
) -> EncoderOutput:
    """Run the layers on the pieces that follow those of a cache.

    Args:
        encoder: The layers.
        hidden: Embedded pieces, float [B, S, H].
        layout: What they see.
        past: Keys and values of the P pieces before, if any.
        use_cache: Whether to return those of all pieces.
        keep_all: Whether to return the states of every layer.
    """
    states, caches, attentions, cross_attentions = [hidden], [], [], []
    for number, module in enumerate(encoder.layers):
        layer = cast(EncoderLayer, module)
        arguments = (layer, hidden, layout, number, past[number] if past else None)
        if encoder.checkpointing and encoder.training and torch.is_grad_enabled():
            hidden, cache, weights, cross = checkpoint(
                _decode_layer, *arguments, use_reentrant=False
            )
        else:
            hidden, cache, weights, cross = _decode_layer(*arguments)
        states.append(hidden)
        caches.append(cache)
        attentions.append(weights)
        cross_attentions.append(cross)
    return EncoderOutput(
        last_hidden_state=hidden,
        past_key_values=tuple(caches) if use_cache else None,
        hidden_states=tuple(states) if keep_all else None,
        attentions=tuple(attentions) if layout.eager else None,
        cross_attentions=None if cross is None else tuple(cross_attentions),
    )


def check_decoder(
    config: ElectraConfig,
    past: PastKeyValues | None,
    states: Tensor | None,
    use_cache: bool,
) -> None:
    """Refuse what only a decoder can do.

    Raises:
        ValueError: If the model is no decoder, or has no cross-attention.
    """
    given = {
        "use_cache": use_cache,
        "past_key_values": past is not None,
        "encoder_hidden_states": states is not None,
    }
    for name, is_given in given.items():
        needed = ["is_decoder"]
        if name == "encoder_hidden_states":
            needed.append("add_cross_attention")
        if is_given and not all(getattr(config, field) for field in needed):
            fields = ", ".join(f"{field}=True" for field in needed)
            raise ValueError(Errors.SE011(name=name, needed=fields))


def decoder_bias(
    mask: Tensor | None, length: int, total: int, like: Tensor
) -> Tensor | None:
    """What hides later pieces and masked ones from each of the last ``length``.

    Args:
        mask: 1 for a piece, 0 for padding, over cached and new ones, [B, P + S]; or
            [B, S, P + S].
        length: S, the new pieces.
        total: P + S.
        like: Gives dtype and device.

    Returns:
        Float [B or 1, 1, S, P + S], or None where all is seen.
    """
    if mask is None and length == 1:
        return None
    steps = torch.arange(total, device=like.device)
    seen = (steps <= steps[-length:, None])[None]
    if mask is not None:
        mask = mask.bool()
        seen = seen & (mask[:, None] if mask.dim() == 2 else mask)
    return bias_of(seen, like.dtype)


def cross_bias(
    mask: Tensor | None, states: Tensor | None, past: Cache | None, like: Tensor
) -> Tensor | None:
    """What hides masked states of the other encoder, float [B, 1, 1 or S, M].

    Raises:
        ValueError: If the mask has another shape than the states, or what is cached of
            them.
    """
    if mask is None:
        return None
    if past and past[0].cross_key is not None:
        check_mask("encoder_attention_mask", mask, *past[0].cross_key.shape[::2])
    elif states is not None:
        check_mask("encoder_attention_mask", mask, *states.shape[:2])
    return bias_of(mask, like.dtype)


def _decode_layer(
    layer: EncoderLayer,
    hidden: Tensor,
    layout: DecoderLayout,
    number: int,
    past: LayerCache | None,
) -> tuple[Tensor, LayerCache, Tensor | None, Tensor | None]:
    """The states, what to cache, and the weights of both kinds of attention."""
    attention, cross = layer.attention, layer.cross_attention
    rows = attention.qkv(hidden).unflatten(-1, (3, attention.heads, -1))
    query, key, value = rows.permute(2, 0, 3, 1, 4).unbind(0)
    cross_key = cross_value = cross_weights = None
    if past is not None:
        # The cache may come from a pass in another precision.
        key = torch.cat([past.key.to(key.dtype), key], dim=-2)
        value = torch.cat([past.value.to(value.dtype), value], dim=-2)
        cross_key, cross_value = past.cross_key, past.cross_value
    hidden, weights = _attend(
        attention, hidden, query, key, value, layout.bias, layout, number
    )
    if cross is not None and layout.states is not None and cross_key is None:
        cross_key, cross_value = cross.keys_and_values(layout.states)
    if cross is not None and cross_key is not None and cross_value is not None:
        query = cross.queries(hidden)
        hidden, cross_weights = _attend(
            cross,
            hidden,
            query,
            cross_key.to(query.dtype),
            cross_value.to(query.dtype),
            layout.cross_bias,
            layout,
            number,
        )
    cache = LayerCache(key, value, cross_key, cross_value)
    return layer.feed_forward(hidden), cache, weights, cross_weights


def _attend(
    attention: SelfAttention,
    hidden: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    layout: DecoderLayout,
    number: int,
) -> tuple[Tensor, Tensor | None]:
    """The residual sum, float [B, S, H], and the weights where they are computed."""
    weights = None
    if layout.eager:
        mask = attention.pick_mask(layout.head_masks, number)
        context, weights = attention.weigh(query, key, value, bias, mask)
    else:
        dropout = attention.attention_dropout if attention.training else 0.0
        context = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout
        )
    return attention.add(hidden, context.transpose(1, 2).flatten(2)), weights
