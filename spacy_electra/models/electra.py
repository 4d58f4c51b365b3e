"""The ELECTRA encoder: embeddings, their projection, and the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import Errors
from .attention import varlen_available
from .config import ElectraConfig
from .embeddings import ElectraEmbeddings, check_length, compute_dtype
from .encoder import Encoder
from .initialization import initialize_weights
from .outputs import EncoderOutput
from .packing import AttentionLayout, PackedBatch
from .pretrained import PretrainedModel
from .segments import segments_of


class ElectraModel(PretrainedModel):
    """The encoder, generator or discriminator, without a head.

    Args:
        config: Its shape.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.embeddings = ElectraEmbeddings(config)
        self.embeddings_project: nn.Module
        if config.embedding_size != config.hidden_size:
            self.embeddings_project = nn.Linear(
                config.embedding_size, config.hidden_size
            )
        else:
            self.embeddings_project = nn.Identity()
        self.encoder = Encoder(config)
        initialize_weights(self, config)

    def forward_packed(
        self, batch: PackedBatch, output_hidden_states: bool = False
    ) -> EncoderOutput:
        """Encode sequences that lie end to end.

        Args:
            batch: T pieces.
            output_hidden_states: Whether to return the states of every layer too.

        Returns:
            ``last_hidden_state`` float [T, H]; ``hidden_states`` likewise.

        Raises:
            ValueError: If a sequence is longer than ``max_position_embeddings``.
        """
        longest = max(batch.lengths, default=0)
        check_length(longest, self.config.max_position_embeddings)
        layout = self._layout(batch.lengths)
        embedded = self.embeddings(
            batch.input_ids, batch.token_type_ids, batch.position_ids
        )
        last, states, _ = self._encode(embedded, layout, output_hidden_states)
        return EncoderOutput(last, tuple(states) if output_hidden_states else None)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encode a padded batch.

        The fused path leaves out masked positions, so that they cost nothing; their
        rows of the result are zero. Returned attentions, head masks, relative
        positions and masks for each pair of positions take the eager path, which
        computes every position.

        Args:
            input_ids: int64 [B, S].
            attention_mask: 1 for a piece, 0 for padding, [B, S]; or [B, S, S], which
                position sees which.
            token_type_ids: int64 [B, S]; zeros by default.
            position_ids: int64 [B, S] or [1, S]; 0 to S - 1 by default.
            head_mask: 1 keeps a head, 0 silences it; float [heads] or [layers, heads].
            inputs_embeds: Word embeddings in place of ``input_ids``, float [B, S, E].
            output_attentions: Whether to return attention weights.
            output_hidden_states: Whether to return the states of every layer too.

        Returns:
            ``last_hidden_state`` float [B, S, H].

        Raises:
            ValueError: If both or neither of ``input_ids`` and ``inputs_embeds`` are
                given, or if S is more than ``max_position_embeddings``.
        """
        if (input_ids is None) == (inputs_embeds is None):
            given = "neither" if input_ids is None else "both"
            raise ValueError(Errors.SE005(given=given))
        source = input_ids if inputs_embeds is None else inputs_embeds
        assert source is not None
        count, length = source.shape[:2]
        check_length(length, self.config.max_position_embeddings)
        if token_type_ids is None:
            token_type_ids = torch.zeros(
                (count, length), dtype=torch.long, device=source.device
            )
        if position_ids is None:
            position_ids = torch.arange(length, device=source.device)[None]
        inputs = (
            input_ids,
            token_type_ids,
            position_ids.expand(count, length),
            inputs_embeds,
        )
        eager = (
            output_attentions
            or head_mask is not None
            or self.config.position_embedding_type != "absolute"
            or (attention_mask is not None and attention_mask.dim() == 3)
        )
        if eager or attention_mask is None or bool(attention_mask.all()):
            rows = None
            layout = self._layout([length] * count, eager)
            if attention_mask is not None and eager:
                layout = replace(layout, bias=_bias(attention_mask))
            layout = replace(layout, head_masks=self._head_masks(head_mask))
        else:
            rows, lengths = _real_rows(attention_mask)
            layout = self._layout(lengths)
        embedded = self.embeddings(*(_flat_rows(part, rows) for part in inputs))
        last, states, attentions = self._encode(embedded, layout, output_hidden_states)
        shape = (count, length)
        return EncoderOutput(
            last_hidden_state=_padded(last, rows, shape),
            hidden_states=tuple(_padded(state, rows, shape) for state in states)
            if output_hidden_states
            else None,
            attentions=tuple(attentions) if output_attentions else None,
        )

    def _encode(
        self, embedded: Tensor, layout: AttentionLayout, keep_all: bool
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        dtype = compute_dtype(embedded.device, embedded.dtype)
        hidden = self.embeddings_project(embedded.to(dtype))
        return self.encoder(hidden, layout, keep_all)

    def _layout(self, lengths: Sequence[int], eager: bool = False) -> AttentionLayout:
        device = self.device
        eager = eager or self.config.position_embedding_type != "absolute"
        cumulative = None
        dropout = self.config.attention_probs_dropout_prob
        if not eager and varlen_available(device, dropout, self.training):
            ends = torch.tensor([0, *lengths]).cumsum(0)
            cumulative = ends.to(device=device, dtype=torch.int32)
        return AttentionLayout(
            segments=segments_of(lengths, padded=device.type == "cpu" and not eager),
            causal=self.config.is_decoder,
            eager=eager,
            cumulative_lengths=cumulative,
            longest=max(lengths, default=0),
        )

    def _head_masks(self, head_mask: Tensor | None) -> Tensor | None:
        """One row of head weights a layer, [layers, heads]."""
        if head_mask is None:
            return None
        layers, heads = self.config.num_hidden_layers, self.config.num_attention_heads
        return head_mask.reshape(-1, heads).expand(layers, heads)


def _bias(attention_mask: Tensor) -> Tensor:
    """What to add to the scores so that masked positions get no weight."""
    mask = attention_mask.bool()
    mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
    bias = torch.zeros(mask.shape, device=mask.device)
    # The least finite number, not -inf: a row that sees nothing must not become NaN.
    return bias.masked_fill_(~mask, torch.finfo(bias.dtype).min)


def _real_rows(attention_mask: Tensor) -> tuple[Tensor, list[int]]:
    """Rows of [B * S] that are no padding, shortest sequence first, and the lengths."""
    mask = attention_mask.bool()
    lengths, order = mask.sum(1).sort(stable=True)
    sequence, position = mask[order].nonzero(as_tuple=True)
    return order[sequence] * mask.shape[1] + position, lengths.tolist()


def _flat_rows(part: Tensor | None, rows: Tensor | None) -> Tensor | None:
    """[B, S, ...] as [B * S, ...], or only some of those rows."""
    if part is None:
        return None
    flat = part.flatten(0, 1)
    return flat if rows is None else flat[rows]


def _padded(state: Tensor, rows: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Rows [T, H] back in their places of [B, S, H]."""
    if rows is None:
        return state.view(*shape, -1)
    padded = state.new_zeros((shape[0] * shape[1], state.shape[-1]))
    return padded.index_copy(0, rows, state).view(*shape, -1)
