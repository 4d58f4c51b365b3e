"""A network as a graph: tensors in, tensors out, of any batch and any length."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..models import ElectraForMultipleChoice, ElectraModel
from ..models.attention import bias_of
from ..models.decoder import DecoderLayout, decode, decoder_bias
from ..models.heads import HeadModel
from ..models.outputs import EncoderOutput
from ..models.pretrained import PretrainedModel

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# As Optimum names them.
AXES = ("batch_size", "sequence_length")
AXES_OF_CHOICES = ("batch_size", "num_choices", "sequence_length")


class Graph(nn.Module):
    """A model of any class as a function of three tensors.

    Args:
        network: Shares its weights.

    Attributes:
        axes: Names of the axes of each input.
        outputs: Names of what it returns, as in Transformers.
    """

    def __init__(self, network: PretrainedModel) -> None:
        super().__init__()
        self.network: nn.Module
        if isinstance(network, HeadModel):
            # A model of the same class, over an encoder that makes a clean graph.
            with torch.device("meta"):
                shell = type(network)(network.config)
            shell.electra = cast(Any, GraphEncoder(network.electra))
            shell.head = network.head
            self.network = shell
        else:
            self.network = GraphEncoder(cast(ElectraModel, network))
        is_choice = isinstance(network, ElectraForMultipleChoice)
        self.axes = AXES_OF_CHOICES if is_choice else AXES
        self.eval()
        with torch.no_grad():
            output = self.network(*self.example())
        self.outputs = tuple(
            part.name
            for part in fields(output)
            if isinstance(getattr(output, part.name), Tensor)
        )

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Int64 [B, S] each, or [B, C, S] -> what ``outputs`` names.

        At padding the result means nothing.
        """
        output = self.network(input_ids, attention_mask, token_type_ids)
        return tuple(getattr(output, name) for name in self.outputs)

    def example(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs to trace it with; no two axes are of one size, and none of size 1."""
        sizes = {"batch_size": 2, "num_choices": 3, "sequence_length": 5}
        ids = torch.zeros([sizes[name] for name in self.axes], dtype=torch.int64)
        mask = torch.ones_like(ids)
        mask[..., 4:] = 0
        return ids, mask, torch.zeros_like(ids)


class GraphEncoder(nn.Module):
    """An encoder that computes every position, and never looks at a value.

    What ``ElectraModel`` does depends on where the padding is; a graph has to do the
    same for all inputs. It takes the layers' other pass, that of a decoder, which works
    on padded batches.

    Args:
        network: Shares its weights.
    """

    def __init__(self, network: ElectraModel) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        *others: Any,
        **options: Any,
    ) -> EncoderOutput:
        """As ``ElectraModel.forward``; what else that takes has no effect."""
        network, config = self.network, self.network.config
        length = input_ids.shape[1]
        positions = torch.arange(length, device=input_ids.device)
        embedded = network.embeddings(input_ids, token_type_ids, positions)
        hidden = network.embeddings_project(embedded)
        if config.is_decoder:
            bias = decoder_bias(attention_mask, length, length, hidden)
        else:
            bias = bias_of(attention_mask, hidden.dtype)
        eager = config.position_embedding_type != "absolute"
        layout = DecoderLayout(bias=bias, eager=eager)
        output = decode(network.encoder, hidden, layout, None, False, False)
        return EncoderOutput(output.last_hidden_state)
