"""How far our models are from Transformers' classes, on random weights.

Largest absolute differences over every piece that is no padding, fp32 with dropout 0,
eager attention on their side; for bf16 the norm of the difference over that of fp32.

    python benchmarks/parity.py
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import transformers
import typer
from machine import write_result
from torch import Tensor
from wasabi import msg

from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraModel,
    PackedBatch,
)

BASE = ElectraConfig(
    vocab_size=500,
    num_hidden_layers=4,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
CONFIGS = {
    "small's width": {},
    "no projection": {"embedding_size": 256},
    "relu": {"hidden_act": "relu"},
    "relative_key": {"position_embedding_type": "relative_key"},
    "relative_key_query": {"position_embedding_type": "relative_key_query"},
    "base's width": {
        "embedding_size": 768,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}
SHAPE = (8, 96)


def pair(kind: type[Any], config: ElectraConfig) -> tuple[Any, Any]:
    """Our model and theirs with the same weights."""
    torch.manual_seed(0)
    theirs = getattr(transformers, kind.__name__)(
        transformers.ElectraConfig(**config.to_dict(), attn_implementation="eager")
    ).eval()
    ours = kind(config).eval()
    tensors, _ = kind.from_hugging_face(theirs.state_dict())
    ours.load_state_dict(tensors)
    return ours, theirs


def inputs(config: ElectraConfig) -> dict[str, Tensor]:
    """A padded batch with two token types."""
    torch.manual_seed(1)
    lengths = torch.linspace(5, SHAPE[1], SHAPE[0]).long()
    mask = (torch.arange(SHAPE[1]) < lengths[:, None]).long()
    return {
        "input_ids": torch.randint(5, config.vocab_size, SHAPE),
        "attention_mask": mask,
        "token_type_ids": torch.randint(2, SHAPE),
    }


def difference(ours: Tensor, theirs: Tensor, mask: Tensor) -> float:
    """Largest absolute difference where there is no padding."""
    return float((ours - theirs)[mask.bool()].abs().max())


def losses_and_gradients(kind: type[Any], config: ElectraConfig) -> tuple[float, float]:
    """Differences of the loss and, largest of all weights, of the gradients."""
    ours, theirs = pair(kind, config)
    kwargs = inputs(config)
    high = 2 if kind is ElectraForPreTraining else config.vocab_size
    labels = torch.randint(high, SHAPE)
    if kind is ElectraForMaskedLM:
        labels[kwargs["attention_mask"] == 0] = -100
    losses = [model(**kwargs, labels=labels).loss for model in (ours, theirs)]
    for loss in losses:
        loss.backward()
    gradients = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    expected, _ = kind.from_hugging_face(gradients)
    apart = [
        float((parameter.grad - expected[name]).abs().max())
        for name, parameter in ours.named_parameters()
        if name in expected
    ]
    return float((losses[0] - losses[1]).detach().abs()), max(apart)


def row(config: ElectraConfig) -> dict[str, float]:
    """All differences for one config."""
    figures = {}
    ours, theirs = pair(ElectraModel, config)
    kwargs = inputs(config)
    mask = kwargs["attention_mask"]
    asked = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        mine, other = ours(**kwargs, **asked), theirs(**kwargs, **asked)
        fused = ours(**kwargs)
    layers = zip(mine.hidden_states, other.hidden_states, strict=True)
    figures["layers"] = max(difference(a, b, mask) for a, b in layers)
    rows = mask[:, None, :, None].expand_as(other.attentions[0])
    maps = zip(mine.attentions, other.attentions, strict=True)
    figures["attentions"] = max(difference(a, b, rows) for a, b in maps)
    figures["fused"] = difference(
        fused.last_hidden_state, other.last_hidden_state, mask
    )
    for name, kind in (("rtd", ElectraForPreTraining), ("mlm", ElectraForMaskedLM)):
        ours, theirs = pair(kind, config)
        with torch.no_grad():
            logits = theirs(**kwargs).logits
            figures[f"{name} logits"] = difference(ours(**kwargs).logits, logits, mask)
        if kind is ElectraForPreTraining:
            figures.update(_packed_and_bf16(ours, logits, kwargs))
        loss, gradients = losses_and_gradients(kind, config)
        figures[f"{name} loss"], figures[f"{name} gradients"] = loss, gradients
    return figures


def _packed_and_bf16(
    ours: ElectraForPreTraining,
    logits: Tensor,
    kwargs: dict[str, Tensor],
) -> dict[str, float]:
    mask = kwargs["attention_mask"].bool()
    lengths = mask.sum(1).tolist()
    batch = PackedBatch(
        kwargs["input_ids"][mask],
        kwargs["token_type_ids"][mask],
        torch.cat([torch.arange(length) for length in lengths]),
        lengths,
    )
    with torch.no_grad():
        packed = ours.forward_packed(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = ours.forward_packed(batch)
    return {
        "packed": float((packed - logits[mask]).abs().max()),
        "bf16, relative": float((rough - packed).norm() / packed.norm()),
    }


def main() -> None:
    """Print and write the differences for each config."""
    rows = {name: row(replace(BASE, **changes)) for name, changes in CONFIGS.items()}
    names = list(next(iter(rows.values())))
    shown = [(n, *(f"{rows[c][n]:.1e}" for c in rows)) for n in names]
    msg.table(shown, header=("largest difference", *rows), divider=True)
    msg.good(f"Wrote {write_result('parity', rows)}")


if __name__ == "__main__":
    typer.run(main)
