"""Texts that a causal language model writes on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch.nn.utils.rnn import pad_sequence

from ..models import ElectraForCausalLM, split_by_tokens
from ..models.precision import autocast
from .head_model import Head
from .language_model import load_language_model, window_attributes


def write_on(
    model: Head,
    texts: Sequence[str],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    **options: Any,
) -> list[str]:
    """What follows texts, by ``ElectraForCausalLM.generate``.

    Args:
        model: A causal language model.
        texts: Any number; an empty one begins with [CLS] alone.
        max_new_tokens: Most pieces to add.
        stop: Strings that end a text when it has just written one of them.
        options: As in ``generate``.

    Raises:
        ValueError: If a text leaves no room for so many pieces; if an option can't be.
    """
    _, encoder = load_language_model(model)
    tokenizer = encoder.tokenizer
    assert tokenizer is not None
    network = cast(ElectraForCausalLM, model.whole())
    options.setdefault("eos_token_id", tokenizer.sep_token_id)
    options["stop"] = [ids.tolist() for ids in tokenizer.encode_ids(stop)]
    prompts = [
        torch.tensor([tokenizer.cls_token_id, *ids])
        for ids in tokenizer.encode_ids(texts)
    ]
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    written = [""] * len(prompts)
    for group in split_by_tokens(
        lengths, window_attributes(model.encoder)["max_tokens"]
    ):
        own = [prompts[index] for index in group]
        padding = tokenizer.pad_token_id
        ids = pad_sequence(own, batch_first=True, padding_value=padding)
        mask = pad_sequence([torch.ones_like(part) for part in own], batch_first=True)
        with autocast(encoder.device, encoder.precision):
            longer = network.generate(
                ids.to(encoder.device),
                mask.to(encoder.device),
                max_new_tokens=max_new_tokens,
                pad_token_id=padding,
                **options,
            )
        for index, new in zip(group, longer[:, ids.shape[1] :].tolist(), strict=True):
            written[index] = tokenizer.decode(new, skip_special_tokens=True)
    return written
