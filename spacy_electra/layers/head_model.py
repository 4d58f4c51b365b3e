"""A head over an encoder, as one Thinc model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Errors, Warnings, listed
from ..models import ElectraConfig
from ..models.heads import HeadModel
from .division import repeats_others
from .encoding import AnyEncoder
from .network_shim import NetworkShim
from .types import OwnClass, Text
from .units import Units

Activation = Callable[[Tensor, ElectraConfig], Tensor]
_HEAD, _ENCODER = "head.", "electra."


def identity(logits: Tensor, config: ElectraConfig) -> Tensor:
    """The logits themselves."""
    return logits


def softmax(logits: Tensor, config: ElectraConfig) -> Tensor:
    """Probabilities of labels that exclude each other."""
    return logits.softmax(-1)


def by_problem(logits: Tensor, config: ElectraConfig) -> Tensor:
    """Probabilities of labels that exclude each other or do not, or numbers."""
    problem = config.problem
    if problem == "regression":
        return logits
    return logits.softmax(-1) if problem.startswith("single") else logits.sigmoid()


@dataclass(frozen=True)
class HeadKind:
    """Which head a model has.

    Args:
        model_class: The class of the encoder with this head.
        units: What it gives one output for.
        name: What a checkpoint of that class is called, for messages.
        activation: Makes of logits what the model gives. Gradients are those of the
            logits all the same, as of Thinc's ``Softmax``: of probabilities minus the
            truth, the gradient of the cross-entropy, they need nothing more.
    """

    model_class: type[HeadModel]
    units: Units
    name: str
    activation: Activation


class Head(OwnClass[Sequence[Text], Any]):
    """From texts to the outputs of a head over an encoder.

    There is one array per text, or one of all, as the units say.

    The head's weights come from the encoder's source where that holds such a head;
    otherwise they are new and need training.

    Args:
        name: Of the model.
        encoder: From texts to the states of their pieces; a listener borrows those of
            an ``electra`` component.
        model_class: The class of the encoder with this head.
        units: What the head gives one output for, of ``units``.
        kind: What a checkpoint of that class is called: "discriminator".
        activation: Makes of logits what the model gives, as in ``HeadKind``.
        attrs: More attributes of the model. "problem_type" is that of the config; None
            takes the checkpoint's. "gives_logits" is set by components that compute
            losses themselves: there is no activation then.
        shims: More shims, after that of the head.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        encoder: AnyEncoder,
        model_class: type[HeadModel],
        units: Units,
        kind: str,
        *,
        activation: Activation = identity,
        attrs: Mapping[str, Any] | None = None,
        shims: Sequence[NetworkShim] = (),
    ) -> None:
        super().__init__(
            name,
            _forward,
            init=_initialize,
            layers=[encoder],
            attrs={
                "problem_type": None,
                "gives_logits": False,
                **(attrs or {}),
                "kind": HeadKind(model_class, units, kind, activation),
            },
            shims=[HeadShim(model_class), *shims],
        )

    @property
    def encoder(self) -> AnyEncoder:
        """The encoder under the head."""
        # Not a reference: Thinc's copy() loses those.
        return cast(AnyEncoder, self.layers[0])

    @property
    def kind(self) -> HeadKind:
        """Which head it is."""
        return cast(HeadKind, self.attrs["kind"])

    @property
    def shim(self) -> NetworkShim:
        """What holds the head, as it is."""
        return cast(NetworkShim, self.shims[0])

    @property
    def config(self) -> ElectraConfig:
        """The config of the head, which is read where it has no weights yet."""
        config = self.load().config
        assert config is not None
        return config

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the head's outputs; "LABEL_0" and so on where nobody named them."""
        return self.config.labels

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the activation makes of logits, float32 of any shape."""
        outcome = self.kind.activation(torch.from_numpy(logits), self.config)
        return cast(NDArray[np.float32], outcome.numpy())

    def check_loaded(self) -> None:
        """Refuse to read the source in place of a head, or an encoder, of two."""
        own = [self.shim, *cast(list[NetworkShim], self.encoder.shims)]
        lost = [shim.part for shim in own if shim.is_empty]
        if lost and len(lost) < len(own):
            raise ValueError(Errors.SE345(part=lost[0]))

    def to_dict(self) -> dict[str, Any]:
        """What Thinc saves; a head whose encoder is there is read before."""
        if self.encoder.shims and not self.encoder.shim.is_empty:
            self.load()
        return super().to_dict()

    def load(self) -> NetworkShim:
        """The shim, with weights: its own, or else those of the encoder's source."""
        shim = self.shim
        if shim.is_empty:
            self._open()
        shim.move_to_default_device()
        self._tie()
        return shim

    def _open(self) -> None:
        model, report = self.encoder.open(self.kind.model_class)
        is_new = any(n.startswith(_HEAD) for n in report.newly_initialized)
        if is_new:
            source = self.encoder.source
            warnings.warn(
                Warnings.SW300(source=source, kind=self.kind.name), stacklevel=2
            )
        config, wanted = model.config, self.attrs["problem_type"]
        found = config.problem_type
        if wanted is not None and found not in (None, wanted) and not is_new:
            raise ValueError(
                Errors.SE396(source=self.encoder.source, found=found, wanted=wanted)
            )
        self.shim.fill(model.head, config.changed(problem_type=wanted or found))

    def _tie(self) -> None:
        """Let the head use the weights of the encoder that are its own as well."""
        if not self.kind.model_class.tied:
            return
        shim = self.shim
        assert shim.config is not None
        for name, place in self.kind.model_class.tied_names(shim.config).items():
            encoder = self.encoder.load().network
            weight = attrgetter(place.removeprefix(_ENCODER))(encoder)
            owner, _, attribute = name.removeprefix(_HEAD).rpartition(".")
            part = attrgetter(owner)(shim.network) if owner else shim.network
            if getattr(part, attribute) is not weight:
                setattr(part, attribute, weight)

    def shared_weights(self) -> list[nn.Parameter]:
        """Weights of the head that are the encoder's."""
        own = self.shim.own_weights()
        weights = self.shim.network.named_parameters()
        return [weight for name, weight in weights if name not in own]

    def whole(self) -> HeadModel:
        """Encoder and head as one network, in evaluation mode, with their weights."""
        head, encoder = self.load(), self.encoder.load()
        with torch.device("meta"):
            network = self.kind.model_class(self.config)
        network.electra, network.head = encoder.network, head.network
        return network.eval()

    def set_label_count(self, count: int) -> None:
        """Give the head so many labels; the first ones keep their names and rows."""
        known = self.labels[:count]
        self.set_labels([*known, *(f"LABEL_{i}" for i in range(len(known), count))])

    def set_labels(
        self, labels: Sequence[str], problem_type: str | None = None
    ) -> None:
        """Give the head these labels, in this order.

        What it knows of a label that it has already stays; rows of others are new. A
        warning names those, where the head came with labels of its own. Labels that
        nobody has named yet are given names where there are as many.

        Args:
            labels: Any number.
            problem_type: As in ``ElectraConfig``; None leaves it as it is.
        """
        shim = self.load()
        old = shim.config
        assert old is not None
        config = old.with_labels(labels, problem_type)
        if config == old:
            return
        numbers = old.label2id
        new = [label for label in labels if label not in numbers]
        if new and old.has_named_labels:
            warnings.warn(
                Warnings.SW301(new=listed(new), known=listed(old.labels)), stacklevel=2
            )
        gives_names = not old.has_named_labels and len(labels) == len(old.labels)
        if tuple(labels) == old.labels or gives_names:
            shim.fill(shim.network, config)
            return
        known = [(i, numbers[name]) for i, name in enumerate(labels) if name in numbers]
        make = self.kind.model_class.head_class
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = make(config).train(shim.network.training)
            kept = dict(shim.network.named_parameters())
            by_label = label_weights(make, config)
            for name, weight in network.named_parameters():
                if name not in by_label:
                    weight.copy_(kept[name])
                    continue
                for row, old_row in known:
                    weight[row] = kept[name][old_row]
        shim.fill(network, config)
        # What an optimizer remembers of the weights before has other shapes.
        shim.renew_id()


class HeadShim(NetworkShim):
    """Holds the head of a model.

    Args:
        model_class: The class of the encoder with this head.
    """

    def __init__(self, model_class: type[HeadModel]) -> None:
        super().__init__(model_class.head_class, "head")
        self.model_class = model_class

    def shared_names(self, config: ElectraConfig) -> Collection[str]:
        """Weights that are the encoder's, which saves and updates them."""
        return {n.removeprefix(_HEAD) for n in self.model_class.tied_names(config)}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "model_class": self.model_class}

    def __setstate__(self, state: dict[str, Any]) -> None:
        HeadShim.__init__(self, state["model_class"])
        self.id = state["id"]
        self.from_bytes(state["data"])


def label_weights(
    make: Callable[[ElectraConfig], nn.Module], config: ElectraConfig
) -> set[str]:
    """Names of the head's weights that have a row per label."""
    with torch.device("meta"):
        few, more = (
            dict(
                make(config.with_labels([str(i) for i in range(n)])).named_parameters()
            )
            for n in (1, 2)
        )
    return {name for name in few if few[name].shape != more[name].shape}


@contextmanager
def unchanged(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Drop gradients of weights that nobody is going to change."""
    kept = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    yield
    for weight, gradient in zip(weights, kept, strict=True):
        weight.grad = gradient


def _initialize(model: Head, X: Any = None, Y: Any = None) -> None:
    model.shim.clear()
    model.encoder.forget()
    model.load()
    if Y is not None and len(Y):
        # Examples of the output, as spaCy's own components give them: arrays with a
        # column per label, or a list of such arrays.
        model.set_label_count(Y[0].shape[-1])


def resize_output(model: Head, count: int) -> Head:
    """What spaCy's ``textcat`` calls as it gets a label more."""
    model.set_label_count(count)
    return model


def _forward(
    model: Head, texts: Sequence[Text], is_train: bool
) -> tuple[Any, Callable[[Any], Any]]:
    # Before the encoder, so that both come from one reading of the source.
    shim = model.load()
    encoder, units = model.encoder, model.kind.units
    if is_train and repeats_others():
        unchanging = list(shim.network.parameters())
    else:
        unchanging = [] if encoder.is_updated else model.shared_weights()
    encoded, backprop_encoder = encoder(texts, is_train)
    states, cls_states = (
        xp2torch(rows, requires_grad=is_train, device=shim.device)
        for rows in (
            encoded.states,
            encoded.cls_states if units.reads_cls else encoded.states[:0],
        )
    )

    def compute(head: nn.Module) -> Tensor:
        rows = units.inputs(states, cls_states, encoded)
        return units.outputs(head(rows), encoded)

    run = shim.ready(is_train, encoder.shim.precision)
    outputs, backprop_head = run(compute)
    outcome = outputs.detach()
    if not model.attrs["gives_logits"]:
        outcome = model.kind.activation(outcome, model.config)
    results = units.results(torch2xp(outcome), encoded)

    def backprop(gradients: Any) -> Any:
        if isinstance(gradients, list):
            parts = [xp2torch(part, device=outputs.device) for part in gradients]
            gradient = torch.cat([outputs.new_zeros((0, *outputs.shape[1:])), *parts])
        else:
            gradient = xp2torch(gradients, device=outputs.device)
        with unchanged(unchanging):
            backprop_head(gradient)
        own, of_cls = (
            None if rows.grad is None else cast(Floats2d, torch2xp(rows.grad))
            for rows in (states, cls_states)
        )
        of_cls = of_cls if units.reads_cls else None
        return backprop_encoder(encoded.gradient(own, of_cls))

    return results, backprop
