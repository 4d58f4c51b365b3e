"""The next piece, from those before it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..cache import PastKeyValues
from ..config import ElectraConfig
from ..generation import generate
from ..outputs import HeadOutput
from .base import IGNORED, HeadModel, mean_cross_entropy
from .masked_lm import ElectraForMaskedLM, MaskedLMHead


class ElectraForCausalLM(HeadModel):
    """A decoder that predicts the next piece, with the generator's head.

    It is a decoder whatever the config says (``is_decoder``). Logits are float32
    [B, S, V], packed [T, V]. Labels are the pieces themselves, -100 where one does not
    count, [B, S]: each is compared with the logits of the piece before it. Neither
    padding nor what follows it counts, whatever its labels.
    """

    head_class = MaskedLMHead
    head: MaskedLMHead
    hugging_face_names = ElectraForMaskedLM.hugging_face_names
    tied = ElectraForMaskedLM.tied
    generate = generate

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(replace(config, is_decoder=True))

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: PastKeyValues | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> HeadOutput:
        """Score a padded batch; all but ``labels`` as in ``ElectraModel.forward``."""
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            head_mask,
            inputs_embeds,
            encoder_hidden_states,
            encoder_attention_mask,
            past_key_values,
            # A loss has no use for a cache.
            use_cache if labels is None else False,
            output_attentions,
            output_hidden_states,
        )
        return self.output(encoded, attention_mask, labels)

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """Float scalar; see the class."""
        following = labels[:, 1:]
        if attention_mask is not None and attention_mask.dim() == 2:
            # The mask of the new pieces alone, where some are cached.
            is_real = attention_mask[:, -labels.shape[1] :].bool()
            counts = is_real[:, 1:] & is_real[:, :-1]
            following = following.masked_fill(~counts, IGNORED)
        return mean_cross_entropy(logits[:, :-1].flatten(0, 1), following.flatten())
