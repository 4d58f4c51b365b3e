"""What all models share: a config, and reading and writing a directory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from ..checkpoints import names, read_header, read_tensors, write_tensors
from ..errors import Errors, Warnings, listed
from ..source import resolve_source
from .config import ElectraConfig
from .surgery import Surgery

Model = TypeVar("Model", bound="PretrainedModel")
Inputs = ParamSpec("Inputs")
Output = TypeVar("Output", covariant=True)
# Heads whose weights bear names that other heads have as well.
_ALIKE = (
    "ForMultipleChoice",
    "ForQuestionAnswering",
    "ForSequenceClassification",
    "ForTokenClassification",
)
# More layers than a file has are listed as missing, up to this number: beyond it not
# even a network without memory is built.
_MOST_LAYERS = 64


@dataclass(frozen=True)
class LoadReport:
    """What did not come from a checkpoint, and what of it found no place.

    Args:
        newly_initialized: Parameters (our names) of the head, or of cross-attention,
            that the checkpoint lacks.
        left_over: Weights (its names) that the model has no place for.
    """

    newly_initialized: tuple[str, ...]
    left_over: tuple[str, ...]


class _Forward(Protocol[Inputs, Output]):
    """A module, by what it computes."""

    def forward(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output: ...


class PretrainedModel(Surgery):
    """A network with a config, opened from and saved to a directory.

    Attributes:
        hugging_face_names: Beginnings of the names of the head's weights, theirs and
            ours; None where there is no head and the encoder's names have no prefix.
        tied: Weights that are another one of the model, unless config.json says
            ``tie_word_embeddings: false``.
    """

    hugging_face_names: ClassVar[names.Rows | None] = None
    tied: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)

    if TYPE_CHECKING:
        # torch lets a module be called with anything, and return anything.
        def __call__(
            self: _Forward[Inputs, Output], *args: Inputs.args, **kwargs: Inputs.kwargs
        ) -> Output:
            """As ``forward``."""
            ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def tie_weights(self) -> None:
        """Make one what ``tied`` says is one, if the config ties at all."""
        for name, source in self.tied_names(self.config).items():
            owner, _, attribute = name.rpartition(".")
            setattr(attrgetter(owner)(self), attribute, attrgetter(source)(self))

    @classmethod
    def tied_names(cls, config: ElectraConfig) -> Mapping[str, str]:
        """As ``tied``; empty where the config does not tie."""
        return cls.tied if config.extra.get("tie_word_embeddings", True) else {}

    @classmethod
    def from_pretrained(
        cls: type[Model],
        source: str | os.PathLike[str],
        revision: str | None = None,
        **config_changes: Any,
    ) -> Model:
        """Open a checkpoint, of Hugging Face's layout or ours; BERT's too.

        A head that the checkpoint lacks is newly initialized, weights that the class
        has no place for are left; a warning lists both.

        Args:
            source: A directory, the name of a bundled checkpoint, or a hub id.
            revision: Branch, tag or commit of a hub id, which may name it as well:
                "owner/name@revision".
            config_changes: Fields of the config to set otherwise.

        Returns:
            The model, in fp32 and evaluation mode.

        Raises:
            FileNotFoundError: If the source or one of its files is missing.
            ValueError: If it is no ELECTRA or BERT, or a file is broken; if a weight of
                the encoder is missing, has another shape than the config says, or is
                not finite.
        """
        model, report = cls.from_pretrained_with_report(
            source, revision, **config_changes
        )
        if report.newly_initialized or report.left_over:
            warnings.warn(
                Warnings.SW200(
                    source=source,
                    architecture=cls.__name__,
                    new=", ".join(report.newly_initialized) or "nothing",
                    left=", ".join(report.left_over) or "nothing",
                ),
                stacklevel=2,
            )
        return model

    @classmethod
    def from_pretrained_with_report(
        cls: type[Model],
        source: str | os.PathLike[str],
        revision: str | None = None,
        **config_changes: Any,
    ) -> tuple[Model, LoadReport]:
        """As ``from_pretrained``, with the report in place of the warning."""
        folder = resolve_source(source, revision, wanted="model")
        stored = ElectraConfig.from_pretrained(folder)
        config = stored.changed(**config_changes)
        # Names and shapes first: no file gets memory before they are known to fit.
        found, report, prefix = cls._planned(folder, stored, config)
        if prefix:
            warnings.warn(Warnings.SW202(folder=folder, prefix=prefix), stacklevel=3)
        tensors, _, _ = cls._arranged(read_tensors(folder), stored)
        floats = checked_floats({name: tensors[name] for name in found}, folder)
        model = cls(config)
        model.load_state_dict(floats, strict=False)
        model.tie_weights()
        return model.eval(), report

    @classmethod
    def report_of(
        cls, source: str | os.PathLike[str], revision: str | None = None
    ) -> LoadReport:
        """What ``from_pretrained_with_report`` would report, from names and shapes.

        No weight is read; arguments and errors as there, but for weights that are not
        finite.
        """
        folder = resolve_source(source, revision, wanted="model")
        stored = ElectraConfig.from_pretrained(folder)
        _, report, _ = cls._planned(folder, stored, stored)
        return report

    @classmethod
    def _planned(
        cls, folder: Path, stored: ElectraConfig, config: ElectraConfig
    ) -> tuple[list[str], LoadReport, str]:
        """Which weights (our names) a folder has, the report, and a prefix taken off.

        Raises:
            ValueError: If a weight of the encoder is missing, or one does not fit.
        """
        header, left_over, prefix = cls._arranged(read_header(folder), stored)
        _check_layers(header, stored, config, folder)
        with torch.device("meta"):
            expected = cls(config).state_dict()
        surplus = {n: t for n, t in header.items() if n not in expected}
        left_over += names.to_hugging_face(surplus, cls.hugging_face_names)
        found = {name: header[name] for name in expected if name in header}
        check_shapes(found, expected, folder)
        new = set(expected) - set(found) - set(cls.tied_names(config))
        other = "" if found else names.other_architecture(left_over)
        if other:
            raise ValueError(Errors.SE201(folder=folder, kind=other))
        cls.check_encoder(new, expected, folder)
        report = LoadReport(tuple(sorted(new)), tuple(sorted(left_over)))
        return list(found), report, prefix

    def save_pretrained(
        self, path: str | os.PathLike[str], dtype: torch.dtype | None = None
    ) -> None:
        """Write config.json and model.safetensors, with Hugging Face's names.

        A weight that two parts share is written once, as Transformers does.

        Args:
            path: A directory, made where it is missing.
            dtype: Precision of the weights in the file; that of the model by default.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        state = self.state_dict(keep_vars=True)
        own = {
            name: weight.detach().to(dtype)
            for name, weight in state.items()
            if name not in self.tied or weight is not state[self.tied[name]]
        }
        tensors = names.to_hugging_face(own, self.hugging_face_names)
        saved_as = dtype or next(iter(tensors.values())).dtype
        extra = {
            **self.config.extra,
            "architectures": [type(self).__name__],
            "torch_dtype": str(saved_as).removeprefix("torch."),
        }
        replace(self.config, extra=extra).save_pretrained(folder)
        write_tensors(folder, tensors)

    @classmethod
    def from_hugging_face(
        cls, tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Tensors by our names, and the names that this class has no place for."""
        return names.from_hugging_face(tensors, cls.hugging_face_names)

    @classmethod
    def _arranged(
        cls, tensors: Mapping[str, Tensor], stored: ElectraConfig
    ) -> tuple[dict[str, Tensor], list[str], str]:
        """As ``from_hugging_face``, and the prefix that was taken off.

        A head that the config says to be another one is left over, though its weights
        may bear the same names.
        """
        network = names.of_network(tensors, cls._is_generator(stored))
        plain, prefix = names.without_wrapper(network)
        rows = cls.hugging_face_names
        if rows is not None and cls._is_other_head(stored):
            rows = ()
        return *names.from_hugging_face(plain, rows), prefix

    @classmethod
    def _is_generator(cls, stored: ElectraConfig) -> bool:
        """Whether a generator is asked for, by the head, or else by a config."""
        heads = " ".join(theirs for theirs, _ in cls.hugging_face_names or ())
        if "generator_" in heads or "discriminator_" in heads:
            return "generator_" in heads
        return stored.architecture in ("ElectraForMaskedLM", "ElectraForCausalLM")

    @classmethod
    def _is_other_head(cls, stored: ElectraConfig) -> bool:
        """Whether a config names a class with another head, ELECTRA's or BERT's."""
        name = stored.architecture
        kind = name[name.find("For") :]
        return kind in _ALIKE and not cls.__name__.endswith(kind)

    @classmethod
    def check_encoder(
        cls, new: set[str], expected: Mapping[str, Tensor], folder: Path
    ) -> None:
        """Refuse a checkpoint that lacks a weight of the encoder.

        Args:
            new: Names of weights that it lacks.
            expected: All weights of the network, by name.
            folder: Named in the message.

        Raises:
            ValueError: If one of them is the encoder's.
        """
        start = "" if cls.hugging_face_names is None else names.PREFIX
        # An encoder becomes a decoder by training what lets it see another one.
        missing = {
            n: expected[n]
            for n in sorted(new)
            if n.startswith(start) and ".cross_attention." not in n
        }
        if not missing:
            return
        total = sum(name.startswith(start) for name in expected)
        hint = "Fetch all files of the checkpoint."
        if len(missing) == total:
            hint = "Are the names of its weights those of ELECTRA or BERT?"
        theirs = names.to_hugging_face(missing, cls.hugging_face_names)
        raise ValueError(
            Errors.SE208(
                folder=folder,
                count=len(missing),
                total=total,
                names=listed(theirs),
                hint=hint,
            )
        )


def _check_layers(
    header: Mapping[str, Tensor],
    stored: ElectraConfig,
    config: ElectraConfig,
    folder: Path,
) -> None:
    """Refuse weights of more or fewer layers than their config says.

    Fewer layers than there are may be asked for, but not by the file itself.

    Raises:
        ValueError: If the numbers differ.
    """
    found = names.layer_count(header)
    # A file without any layer lacks more than that, and is told so.
    if found and found != stored.num_hidden_layers:
        raise ValueError(
            Errors.SE209(folder=folder, expected=stored.num_hidden_layers, found=found)
        )
    if config.num_hidden_layers > max(found, _MOST_LAYERS):
        raise ValueError(
            Errors.SE209(folder=folder, expected=config.num_hidden_layers, found=found)
        )


def check_shapes(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path
) -> None:
    """Refuse weights that do not fit.

    Args:
        tensors: From a checkpoint, by our names; those that are not expected pass.
        expected: What they are to replace.
        folder: Named in the message.

    Raises:
        ValueError: If one has another shape.
    """
    for name, tensor in tensors.items():
        if name in expected and tensor.shape != expected[name].shape:
            raise ValueError(
                Errors.SE203(
                    folder=folder,
                    name=name,
                    found=tuple(tensor.shape),
                    expected=tuple(expected[name].shape),
                )
            )


def checked_floats(tensors: Mapping[str, Tensor], folder: object) -> dict[str, Tensor]:
    """Weights of a checkpoint in fp32.

    Args:
        tensors: By name.
        folder: Where they come from; named in messages.

    Raises:
        ValueError: If some are numbers of another kind, as quantized ones are, or hold
            NaN or infinity; the message counts them.
    """
    others = {n: t.dtype for n, t in tensors.items() if not t.is_floating_point()}
    if others:
        kinds = {str(dtype).removeprefix("torch.") for dtype in others.values()}
        raise ValueError(
            Errors.SE217(
                folder=folder,
                count=len(others),
                names=listed(others),
                kinds=", ".join(sorted(kinds)),
            )
        )
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    # A sum is finite only where all its terms are, and needs no memory.
    broken = [
        name
        for name, tensor in floats.items()
        if not tensor.sum().isfinite() and not tensor.isfinite().all()
    ]
    if broken:
        raise ValueError(
            Errors.SE216(folder=folder, count=len(broken), names=listed(broken))
        )
    return floats
