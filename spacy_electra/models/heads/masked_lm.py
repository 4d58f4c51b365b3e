"""The generator: for every masked piece, which one it was."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ElectraConfig
from ..electra import ElectraModel
from ..initialization import initialize_weights
from ..norm import LayerNorm
from ..outputs import HeadOutput
from ..packing import PackedBatch
from ..pretrained import PretrainedModel

# The label of a position that does not count, as torch and Transformers have it.
IGNORED = -100


class MaskedLMHead(nn.Module):
    """Back to the embeddings' width, then a product with the word embeddings.

    The activation is GELU whatever the config says, as in the reference.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.norm = LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., V]."""
        logits: Tensor = self.decoder(self.norm(F.gelu(self.dense(hidden))))
        return logits.float()


class ElectraForMaskedLM(PretrainedModel):
    """The encoder with the head of a masked language model (the generator).

    The decoder's weight is the word embeddings themselves, unless config.json says
    ``tie_word_embeddings: false``.

    Args:
        config: Its shape.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.head = MaskedLMHead(config)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Let the decoder use the word embeddings."""
        if self.config.extra.get("tie_word_embeddings", True):
            self.head.decoder.weight = self.electra.embeddings.word_embeddings.weight

    def share_embeddings(self, other: ElectraModel) -> None:
        """Use the embeddings and their layer norm of another encoder.

        Generator and discriminator train on one set of them (Clark et al., 2020,
        section 3.2).

        Args:
            other: An encoder with the same embedding and vocabulary size.
        """
        self.electra.embeddings = other.embeddings
        self.tie_weights()

    def forward_packed(self, batch: PackedBatch, rows: Tensor | None = None) -> Tensor:
        """Score the vocabulary at each piece, or only where it is asked.

        Args:
            batch: T pieces.
            rows: Rows of the batch to score, int64 [M]; all by default.

        Returns:
            float32 [M, V].
        """
        hidden = self.electra.forward_packed(batch).last_hidden_state
        logits: Tensor = self.head(hidden if rows is None else hidden[rows])
        return logits

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> HeadOutput:
        """Score a padded batch; arguments as in ``ElectraModel.forward``.

        Args:
            labels: The piece that stood at a masked position, -100 elsewhere, [B, S].
                The loss is their mean cross-entropy; padding never counts.

        Returns:
            ``logits`` float32 [B, S, V].
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
        )
        logits = self.head(encoded.last_hidden_state)
        loss = None
        if labels is not None:
            if attention_mask is not None and attention_mask.dim() == 2:
                labels = labels.masked_fill(~attention_mask.bool(), IGNORED)
            loss = F.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED
            )
        return HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)
