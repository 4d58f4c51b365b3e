"""What all models share: a config, and reading and writing a directory."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import nn

from .config import ElectraConfig

Model = TypeVar("Model", bound="PretrainedModel")


class PretrainedModel(nn.Module):
    """A network with a config, opened from and saved to a directory.

    Args:
        config: Its shape.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def tie_weights(self) -> None:
        """Make weights one that the architecture shares; heads that do override it."""

    @classmethod
    def from_pretrained(
        cls: type[Model], path: str | os.PathLike[str], **config_changes: Any
    ) -> Model:
        """Open a checkpoint directory, of Hugging Face's layout or ours.

        Weights that the checkpoint lacks are newly initialized, those that the class
        has no place for are left; a warning lists both.

        Args:
            path: The directory, the name of a bundled checkpoint, or a hub id.
            config_changes: Fields of the config to set otherwise.

        Returns:
            The model in evaluation mode.

        Raises:
            ValueError: If a weight has another shape than the config says.
            FileNotFoundError: If a file is missing.
        """
        # The name that people know lives on the class; the work lives a layer above.
        checkpoints = import_module("spacy_electra.checkpoints")
        model: Model = checkpoints.read_model(cls, path, **config_changes)
        return model

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors, with Hugging Face's names.

        Args:
            path: A directory, made where it is missing.
        """
        import_module("spacy_electra.checkpoints").write_model(self, path)
