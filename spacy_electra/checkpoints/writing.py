"""Writing a model as a directory that Transformers opens too."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save

from ..models.pretrained import PretrainedModel
from .names import to_hugging_face

WEIGHTS = "model.safetensors"


def write_model(
    model: PretrainedModel,
    path: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write config.json and model.safetensors.

    The weights stand under Hugging Face's names. A weight that two parts share is
    written once, as Transformers does. The old file stays until the new one is whole.

    Args:
        model: Any of our models.
        path: A directory, made where it is missing.
        dtype: Precision of floats in the file; that of the model by default.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    architecture = type(model).__name__
    tensors = to_hugging_face(model.state_dict(), architecture)
    if _decoder_is_tied(model):
        tensors.pop("generator_lm_head.weight", None)
    plain = {
        name: tensor.detach().to("cpu", dtype).contiguous().clone()
        for name, tensor in tensors.items()
    }
    saved_as = dtype or next(iter(plain.values())).dtype
    extra = {
        **model.config.extra,
        "architectures": [architecture],
        "torch_dtype": str(saved_as).removeprefix("torch."),
    }
    replace(model.config, extra=extra).save_pretrained(folder)
    partial = folder / (WEIGHTS + ".part")
    # Not save_file, whose files nobody else may read, however the umask stands.
    partial.write_bytes(save(plain, metadata={"format": "pt"}))
    os.replace(partial, folder / WEIGHTS)


def _decoder_is_tied(model: PretrainedModel) -> bool:
    state = model.state_dict(keep_vars=True)
    decoder = state.get("head.decoder.weight")
    words = state.get("electra.embeddings.word_embeddings.weight")
    return decoder is not None and decoder is words
