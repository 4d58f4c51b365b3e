"""How far our models are from Transformers' classes, on random weights.

Largest absolute differences over every piece that is no padding, fp32 with dropout 0,
eager attention on their side; of every head logits, losses and gradients; for bf16 the
norm of the difference over that of fp32.

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
    ElectraForCausalLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraModel,
    PackedBatch,
)
from spacy_electra.models.heads import HEADS

BASE = ElectraConfig(
    vocab_size=500,
    num_hidden_layers=4,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    summary_last_dropout=0.0,
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
    if kind is ElectraForCausalLM:
        config = replace(config, is_decoder=True)
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
    return float((ours - theirs).detach()[mask.bool()].abs().max())


def labels_of(kind: type[Any], kwargs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Labels of the kind that a head learns from; padding has none."""
    torch.manual_seed(2)
    mask = kwargs["attention_mask"]
    pieces = torch.randint(BASE.vocab_size, mask.shape)
    of_two = torch.randint(2, mask.shape)
    lengths = mask.view(SHAPE).sum(1)
    return {
        "ElectraForPreTraining": {"labels": of_two},
        "ElectraForMaskedLM": {"labels": pieces.masked_fill(mask == 0, -100)},
        "ElectraForCausalLM": {"labels": pieces.masked_fill(mask == 0, -100)},
        "ElectraForSequenceClassification": {"labels": torch.randint(2, SHAPE[:1])},
        "ElectraForTokenClassification": {
            "labels": of_two.masked_fill(mask == 0, -100)
        },
        "ElectraForQuestionAnswering": {
            "start_positions": lengths // 3,
            "end_positions": lengths // 2,
        },
        "ElectraForMultipleChoice": {"labels": torch.tensor([1, 3])},
    }[kind.__name__]


def head_row(name: str, config: ElectraConfig) -> dict[str, float]:
    """Differences of logits, loss and, largest of all weights, gradients of a head."""
    kind = HEADS[name]
    ours, theirs = pair(kind, config)
    kwargs = inputs(config)
    if kind is ElectraForQuestionAnswering:
        # Padding has some probability in Transformers, and none here.
        kwargs["attention_mask"] = torch.ones_like(kwargs["attention_mask"])
    if kind is ElectraForMultipleChoice:
        kwargs = {key: part.unflatten(0, (2, -1)) for key, part in kwargs.items()}
    labels = labels_of(kind, kwargs)
    mask = kwargs["attention_mask"]
    mine, other = ours(**kwargs, **labels), theirs(**kwargs, **labels)
    scores = mine.to_tuple()[1]
    # One row for each piece, or one for each sequence.
    rows = mask if scores.shape[: mask.dim()] == mask.shape else torch.ones_like(scores)
    figures = {
        "logits": difference(scores, other[1], rows),
        "loss": float((mine.loss - other.loss).detach().abs()),
    }
    mine.loss.backward()
    other.loss.backward()
    gradients = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    expected, _ = kind.from_hugging_face(gradients)
    figures["gradients"] = max(
        float((parameter.grad - expected[key]).abs().max())
        for key, parameter in ours.named_parameters()
        if key in expected
    )
    short = name.removeprefix("ElectraFor")
    return {f"{short} {what}": value for what, value in figures.items()}


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
    figures.update(_packed_and_bf16(config, kwargs))
    for name in HEADS:
        figures.update(head_row(name, config))
    figures["CausalLM cached"] = _cached(config, kwargs)
    return figures


def _packed_and_bf16(
    config: ElectraConfig, kwargs: dict[str, Tensor]
) -> dict[str, float]:
    ours, theirs = pair(ElectraForPreTraining, config)
    mask = kwargs["attention_mask"].bool()
    lengths = mask.sum(1).tolist()
    batch = PackedBatch(
        kwargs["input_ids"][mask],
        kwargs["token_type_ids"][mask],
        torch.cat([torch.arange(length) for length in lengths]),
        lengths,
    )
    with torch.no_grad():
        logits = theirs(**kwargs).logits
        packed = ours.forward_packed(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = ours.forward_packed(batch)
    return {
        "packed": float((packed - logits[mask]).abs().max()),
        "bf16, relative": float((rough - packed).norm() / packed.norm()),
    }


def _cached(config: ElectraConfig, kwargs: dict[str, Tensor]) -> float:
    """Logits of the second half, from the cache of the first, beside theirs at once."""
    ours, theirs = pair(ElectraForCausalLM, config)
    ids, mask = kwargs["input_ids"], kwargs["attention_mask"]
    half = SHAPE[1] // 2
    with torch.no_grad():
        past = ours(ids[:, :half], mask[:, :half]).past_key_values
        found = ours(ids[:, half:], mask, past_key_values=past).logits
        expected = theirs(ids, attention_mask=mask).logits
    return difference(found, expected[:, half:], mask[:, half:])


def main() -> None:
    """Print and write the differences for each config."""
    rows = {name: row(replace(BASE, **changes)) for name, changes in CONFIGS.items()}
    names = list(next(iter(rows.values())))
    shown = [(n, *(f"{rows[c][n]:.1e}" for c in rows)) for n in names]
    msg.table(shown, header=("largest difference", *rows), divider=True)
    msg.good(f"Wrote {write_result('parity', rows)}")


if __name__ == "__main__":
    typer.run(main)
