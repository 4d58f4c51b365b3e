"""What the shapes of weights tell of the config that they come without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import Errors
from .formats import tensorflow1_file, weights_file
from .names import BERT_PREFIX, PREFIX

# One attention head of every published ELECTRA, generator or discriminator, is as wide.
HEAD_WIDTH = 64
_GENERATOR = tensorflow1_file.GENERATOR + PREFIX


def refuse_without_config(folder: Path) -> None:
    """Say which config.json a checkpoint of TensorFlow 1 needs, if one is there.

    Raises:
        FileNotFoundError: If there is one; what its weights tell is in the message.
        ValueError: If its index is broken, or there are several.
    """
    file = weights_file(folder, tensorflow1_file)
    if file is None:
        return
    header = tensorflow1_file.header(file)
    prefix = BERT_PREFIX if _table(header, BERT_PREFIX, "word") else PREFIX
    generator = ""
    if _table(header, _GENERATOR, "word"):
        sizes = json.dumps(sizes_of(header, _GENERATOR))
        generator = f"For the generator, ElectraForMaskedLM, it is {sizes}"
    raise FileNotFoundError(
        Errors.SE036(
            folder=folder,
            config=json.dumps(sizes_of(header, prefix)),
            generator=generator,
        )
    )


def sizes_of(header: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """The sizes in a config.json, as far as weights tell them.

    Args:
        header: Names and shapes, by Hugging Face's names.
        prefix: Of the encoder's names.

    Returns:
        Fields of the config; the number of attention heads by Google's rule.
    """
    layers = f"{prefix}encoder.layer."
    names = (name for name in header if name.startswith(layers))
    numbers = {name.removeprefix(layers).split(".")[0] for name in names}
    up = header.get(f"{layers}0.intermediate.dense.weight")
    words = _table(header, prefix, "word")
    sizes = {
        "vocab_size": words[:1],
        "embedding_size": [] if prefix == BERT_PREFIX else words[1:],
        "hidden_size": [] if up is None else [up.shape[1]],
        "intermediate_size": [] if up is None else [up.shape[0]],
        "max_position_embeddings": _table(header, prefix, "position")[:1],
        "type_vocab_size": _table(header, prefix, "token_type")[:1],
        "num_hidden_layers": [len(numbers)],
    }
    told: dict[str, Any] = {name: size[0] for name, size in sizes.items() if size}
    if "hidden_size" in told:
        told["num_attention_heads"] = max(1, told["hidden_size"] // HEAD_WIDTH)
    return {"model_type": "bert" if prefix == BERT_PREFIX else "electra", **told}


def _table(header: Mapping[str, Tensor], prefix: str, kind: str) -> list[int]:
    """The shape of a table of embeddings, or nothing."""
    table = header.get(f"{prefix}embeddings.{kind}_embeddings.weight")
    return [] if table is None else list(table.shape)
