"""The networks of a saved pipeline, by their headers alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from spacy.util import load_config

from ...errors import Errors
from ...models import ElectraConfig
from ...models.heads import HEADS
from ...tokenization import ElectraTokenizer

# Two classes have the head of a masked language model: the first of them is meant.
_BY_HEAD = {cls.head_class.__name__: name for name, cls in reversed(HEADS.items())}
# What reading damaged bytes raises.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(OverflowError, RecursionError, struct.error),
)
# Bytes that claim more layers than that are not made to a network.
_MOST_LAYERS = 64


@dataclass(frozen=True)
class SavedNetwork:
    """A network that a component was saved with.

    Args:
        component: Its name.
        factory: Its factory.
        kind: The name of a class: of the head, or "ElectraModel" for an encoder.
        config: Of the network.
        parameters: Those that are saved here; a head has not the encoder's.
        dtypes: Their dtypes.
        tokenizer: Of an encoder.
    """

    component: str
    factory: str
    kind: str
    config: ElectraConfig
    parameters: int
    dtypes: tuple[str, ...]
    tokenizer: ElectraTokenizer | None


def saved_networks(folder: Path) -> list[SavedNetwork]:
    """All of a pipeline's folder; no tensor is made.

    Raises:
        ValueError: If a file is damaged.
    """
    try:
        config = load_config(folder / "config.cfg", interpolate=False)
        names = list(config["nlp"]["pipeline"])
        factories = {n: config["components"][n].get("factory", "") for n in names}
    except (OSError, *_DAMAGE) as error:
        raise ValueError(
            Errors.SE071(file=folder / "config.cfg", error=error)
        ) from error
    found = []
    for name in names:
        file = folder / name / "model"
        if file.is_file():
            try:
                found += list(_networks(file, name, factories[name]))
            except _DAMAGE as error:
                raise ValueError(Errors.SE071(file=file, error=error)) from error
    return found


def _networks(file: Path, name: str, factory: str) -> Iterator[SavedNetwork]:
    message = srsly.msgpack_loads(file.read_bytes())
    for data in (data for shims in message["shims"] for data in shims):
        saved = srsly.msgpack_loads(data) if data else None
        if not isinstance(saved, dict) or "network" not in saved:
            continue
        network = str(saved["network"])
        kind = _BY_HEAD.get(network, network)
        header = _header(saved["weights"])
        config = ElectraConfig.from_dict(saved["config"])
        if config.num_hidden_layers > max(_MOST_LAYERS, len(header)):
            raise ValueError(f"{config.num_hidden_layers} layers")
        tokenizer = saved.get("tokenizer")
        yield SavedNetwork(
            component=name,
            factory=factory,
            kind="ElectraForCausalLM" if factory == "electra_causal_lm" else kind,
            config=config,
            parameters=sum(_size(entry["shape"]) for entry in header.values()),
            dtypes=tuple(sorted({entry["dtype"] for entry in header.values()})),
            tokenizer=ElectraTokenizer.from_bytes(tokenizer) if tokenizer else None,
        )


def _header(data: bytes) -> dict[str, Any]:
    """Names, shapes and dtypes of safetensors (eight bytes, then as much JSON)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return dict(header)


def _size(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
