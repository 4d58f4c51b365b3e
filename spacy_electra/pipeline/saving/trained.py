"""The networks that components of a pipeline hold, as models of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from spacy.language import Language
from thinc.api import Model

from ...errors import Errors
from ...layers.encoding import WithEncoder
from ...layers.head_model import Head
from ...layers.listener import EncoderListener
from ...layers.network_shim import NetworkShim
from ...models import ElectraForMaskedLM
from ...models.pretrained import PretrainedModel
from ...tokenization import ElectraTokenizer


@dataclass(frozen=True)
class Trained:
    """What a component has learned.

    Args:
        component: Its name.
        network: The encoder with its head; the encoder alone of a component whose
            other layers are not ours. It shares its weights with the component.
        tokenizer: The encoder's.
        generator: The one that an ``electra_rtd`` has pretrained with, if any.
    """

    component: str
    network: PretrainedModel
    tokenizer: ElectraTokenizer
    generator: ElectraForMaskedLM | None = None


def trained_network(nlp: Language, component: str = "") -> Trained:
    """The network of a component, in evaluation mode.

    Args:
        nlp: A pipeline.
        component: Name of one of its components; "" for the only one that there is, or
            the only one with a head.

    Raises:
        ValueError: If there is no such component, or several where none is named.
    """
    where = nlp.meta.get("name") or "The pipeline"
    models = {name: getattr(pipe, "model", None) for name, pipe in nlp.components}
    found = {n: m for n, m in models.items() if isinstance(m, Model) and _encoders(m)}
    choices = ", ".join(found) or "none"
    if component and component not in found:
        model = models.get(component)
        listens = isinstance(model, Model) and _encoders(model, EncoderListener)
        if listens or _listens_to_transformer(model):
            raise ValueError(Errors.SE068(name=component, choices=choices))
        raise ValueError(Errors.SE066(pipeline=where, name=component, choices=choices))
    if not component:
        heads = [name for name, model in found.items() if isinstance(model, Head)]
        names = heads if len(heads) == 1 else list(found)
        if not names:
            raise ValueError(Errors.SE066(pipeline=where, name="", choices=choices))
        if len(names) > 1:
            raise ValueError(Errors.SE067(pipeline=where, choices=choices))
        component = names[0]
    model = found[component]
    encoder = _encoders(model)[0]
    shim = encoder.load()
    assert shim.tokenizer is not None
    if not isinstance(model, Head):
        return Trained(component, shim.network.eval(), shim.tokenizer)
    return Trained(component, model.whole(), shim.tokenizer, _generator(model))


def _encoders(
    model: Model[Any, Any], kind: type[WithEncoder[Any, Any]] = WithEncoder
) -> list[WithEncoder[Any, Any]]:
    """The encoders that a model computes with; of a head, a listener's too."""
    found = [node for node in model.walk() if isinstance(node, kind)]
    if isinstance(model, Head) or kind is EncoderListener:
        return found
    return [node for node in found if not isinstance(node, EncoderListener)]


def _listens_to_transformer(model: Any) -> bool:
    if not isinstance(model, Model):
        return False
    return any(node.name == "transformer-listener" for node in model.walk())


def _generator(model: Head) -> ElectraForMaskedLM | None:
    for shim in cast(list[NetworkShim], model.shims[1:]):
        if not shim.is_empty and isinstance(shim.network, ElectraForMaskedLM):
            return shim.network.eval()
    return None
