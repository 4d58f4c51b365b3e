"""The ELECTRA encoder: embeddings, their projection, and the layers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from .attention import bias_of, varlen_available
from .cache import PastKeyValues, cached_length, read_cache
from .config import ElectraConfig
from .decoder import DecoderLayout, check_decoder, cross_bias, decode, decoder_bias
from .embeddings import ElectraEmbeddings, check_length, compute_dtype
from .encoder import Encoder, EncoderLayer
from .initialization import initialize_weights
from .linear import Linear
from .outputs import EncoderOutput
from .packing import AttentionLayout, PackedBatch, segments_of
from .padded import PaddedInputs, check_mask, pad_rows, padded_inputs, real_rows
from .pretrained import PretrainedModel
from .streams import on_one_thread


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
            self.embeddings_project = Linear(config.embedding_size, config.hidden_size)
        else:
            self.embeddings_project = nn.Identity()
        self.encoder = Encoder(config)
        initialize_weights(self, config)
        for layer, heads in config.pruned_heads.items():
            cast(EncoderLayer, self.encoder.layers[layer]).attention.prune(heads)

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
        is_compiling = torch.compiler.is_compiling()
        on_cpu = batch.input_ids.device.type == "cpu" and not is_compiling
        # Layers that learn there run in streams.
        with on_one_thread() if self.training and on_cpu else nullcontext():
            embedded = self.embeddings(
                batch.input_ids, batch.token_type_ids, batch.position_ids
            )
            hidden = self._project(embedded)
        last, states, _ = self.encoder(hidden, layout, output_hidden_states)
        return EncoderOutput(
            last, hidden_states=tuple(states) if output_hidden_states else None
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: PastKeyValues | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encode a padded batch.

        The fused path leaves out masked positions, so that they cost nothing; their
        rows of the result are zero. Returned attentions, head masks, relative
        positions, masks for each pair of positions, caches and cross-attention take a
        path that computes every position.

        Args:
            input_ids: int64 [B, S].
            attention_mask: 1 for a piece, 0 for padding, [B, P + S], cached pieces
                first; or [B, S, P + S], which position sees which.
            token_type_ids: int64 [B, S]; zeros by default.
            position_ids: int64 [B, S] or [1, S]; P to P + S - 1 by default.
            head_mask: 1 keeps a head, 0 silences it; float [heads] or [layers, heads].
            inputs_embeds: Word embeddings in place of ``input_ids``, float [B, S, E].
            encoder_hidden_states: States of another encoder, for cross-attention,
                float [B, M, H]. Once their keys are cached, they are not read again.
            encoder_attention_mask: 1 for those that count, [B, M] or [B, S, M].
            past_key_values: What a call with the P pieces before these returned.
            use_cache: Whether to return keys and values; by default what the config
                says, where this is a decoder that is not training.
            output_attentions: Whether to return attention weights.
            output_hidden_states: Whether to return the states of every layer too.

        Returns:
            ``last_hidden_state`` float [B, S, H].

        Raises:
            ValueError: If both or neither of ``input_ids`` and ``inputs_embeds`` are
                given; if P + S is more than ``max_position_embeddings``; if a mask or
                a cache does not fit; if the model is no decoder where it must be.
        """
        start = cached_length(past_key_values)
        inputs = padded_inputs(
            input_ids, token_type_ids, position_ids, inputs_embeds, start
        )
        count, length = inputs.shape
        check_length(start + length, self.config.max_position_embeddings)
        check_mask("attention_mask", attention_mask, count, start + length)
        if use_cache is None:
            caches = self.config.is_decoder and self.config.use_cache
            use_cache = caches and not self.training
        head_masks = self._head_masks(head_mask)
        eager = (
            output_attentions
            or head_masks is not None
            or self.config.position_embedding_type != "absolute"
        )
        remembers = use_cache or past_key_values is not None
        if remembers or encoder_hidden_states is not None:
            check_decoder(
                self.config, past_key_values, encoder_hidden_states, use_cache
            )
            past = read_cache(past_key_values, self.config.num_hidden_layers, count)
            hidden = self._project(self.embeddings(*inputs))
            seen = DecoderLayout(
                bias=decoder_bias(attention_mask, length, start + length, hidden),
                states=encoder_hidden_states,
                cross_bias=cross_bias(
                    encoder_attention_mask, encoder_hidden_states, past, hidden
                ),
                head_masks=head_masks,
                eager=eager,
            )
            output = decode(
                self.encoder, hidden, seen, past, use_cache, output_hidden_states
            )
        else:
            output = self._encode(
                inputs, attention_mask, head_masks, eager, output_hidden_states
            )
        if output_attentions:
            return output
        return replace(output, attentions=None, cross_attentions=None)

    def _encode(
        self,
        inputs: PaddedInputs,
        attention_mask: Tensor | None,
        head_masks: Tensor | None,
        eager: bool,
        output_hidden_states: bool,
    ) -> EncoderOutput:
        """The packed layers over all rows, or over those that are no padding."""
        count, length = inputs.shape
        eager = eager or (attention_mask is not None and attention_mask.dim() == 3)
        if eager or attention_mask is None or bool(attention_mask.all()):
            rows = None
            layout = self._layout([length] * count, eager)
            if attention_mask is not None and eager:
                weight = self.embeddings.word_embeddings.weight
                dtype = compute_dtype(weight.device, weight.dtype)
                layout = replace(layout, bias=bias_of(attention_mask, dtype))
            layout = replace(layout, head_masks=head_masks)
        else:
            rows, lengths = real_rows(attention_mask)
            layout = self._layout(lengths)
        hidden = self._project(self.embeddings(*inputs.rows(rows)))
        last, states, attentions = self.encoder(hidden, layout, output_hidden_states)
        shape = (count, length)
        return EncoderOutput(
            last_hidden_state=pad_rows(last, rows, shape),
            hidden_states=tuple(pad_rows(state, rows, shape) for state in states)
            if output_hidden_states
            else None,
            attentions=tuple(attentions),
        )

    def _project(self, embedded: Tensor) -> Tensor:
        """From the embeddings' width to that of the layers."""
        dtype = compute_dtype(embedded.device, embedded.dtype)
        projected: Tensor = self.embeddings_project(embedded.to(dtype))
        return projected

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
