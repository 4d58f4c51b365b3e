"""A folder with a network in any format, and what its users need beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import Errors, listed
from ..files import into_folder
from ..hub.files import PAPERS
from ..models import ElectraForCausalLM
from ..models.pretrained import LoadReport, PretrainedModel
from ..source import CONFIG_NAME
from ..tokenization.wordpiece import SETTINGS, TOKENIZER, VOCAB, ElectraTokenizer
from ..weight_files import weights_among
from .calibration import calibration_batches
from .formats import FORMATS, safetensors_file

GENERATOR = "generator"
GENERATION = "generation_config.json"
_LARGEST_PAPER = 2**20


def usual_precision(format: str) -> str:
    """What weights are written in where nothing is asked for."""
    return "bf16" if format == safetensors_file.NAME else "fp32"


def check_format(format: str, precision: str, texts: Iterable[str] | None) -> None:
    """Refuse what can't be written, before any weight is read.

    Args:
        format: A key of ``FORMATS``.
        precision: Of the weights.
        texts: To calibrate with, or None.

    Raises:
        ValueError: If there is no such format, or it has no such precision, or needs
            texts.
        ImportError: If a package is missing.
    """
    if format not in FORMATS:
        raise ValueError(
            Errors.SE002(name="format", value=format, choices=", ".join(FORMATS))
        )
    form = FORMATS[format]
    if precision not in form.PRECISIONS:
        choices = ", ".join(form.PRECISIONS)
        raise ValueError(Errors.SE060(format=format, value=precision, choices=choices))
    if precision in form.CALIBRATED and texts is None:
        raise ValueError(Errors.SE061(format=format, precision=precision))
    form.check(precision)


def check_output(output: Path, source: Path | None = None) -> None:
    """Refuse a folder that holds other things.

    Args:
        output: Where a network is to be written.
        source: Where it is read from.

    Raises:
        ValueError: If it is the source; if it has files but no config.json among them,
            or weights that nothing here writes.
        NotADirectoryError: If it is a file.
    """
    if source is not None and output.resolve() == source.resolve():
        raise ValueError(Errors.SE062(folder=output))
    if not output.exists():
        return
    if not output.is_dir():
        raise NotADirectoryError(Errors.SE063(path=output))
    names = sorted(f.name for f in output.iterdir() if not f.name.startswith("."))
    if CONFIG_NAME in names:
        # Weights that stayed beside new ones would be another network's.
        own = [file for form in FORMATS.values() for file in form.FILES]
        names = [file for file in weights_among(names) if file not in own]
    if names:
        raise ValueError(Errors.SE064(folder=output, names=listed(names)))


def check_report(
    report: LoadReport, cls: type[PretrainedModel], source: object, allow_new: bool
) -> None:
    """Refuse to write weights that nobody has trained.

    Args:
        report: Of ``from_pretrained_with_report`` or ``report_of``.
        cls: What it was opened as.
        source: Named in the message.
        allow_new: Whether it is to be written all the same.

    Raises:
        ValueError: If some weights would be new.
    """
    if report.newly_initialized and not allow_new:
        raise ValueError(
            Errors.SE065(
                source=source,
                architecture=cls.__name__,
                count=len(report.newly_initialized),
                names=listed(report.newly_initialized, most=8),
            )
        )


def write_folder(
    output: Path,
    network: PretrainedModel,
    tokenizer: ElectraTokenizer,
    *,
    format: str = safetensors_file.NAME,
    precision: str = "fp32",
    generator: PretrainedModel | None = None,
    texts: Iterable[str] | None = None,
    source: Path | None = None,
) -> None:
    """Write config.json, the network and its tokenizer, all or nothing.

    What an earlier call wrote into the folder goes, and other files of it stay.

    Args:
        output: The folder, made where it is missing.
        network: Of any class.
        tokenizer: The network's.
        format: A key of ``FORMATS``.
        precision: One that the format has.
        generator: Goes to a folder "generator" below, with the same tokenizer.
        texts: To calibrate with, where the format asks for some.
        source: The folder that the network comes from, whose licence, model card,
            calibration and settings of ``generate`` go along.

    Raises:
        ValueError: As in ``check_format`` and ``check_output``.
        ImportError: As in ``check_format``.
    """
    texts = None if texts is None else list(texts)
    check_format(format, precision, texts)
    check_output(output, source)
    papers = [] if source is None else _papers(source)
    names = [file for form in FORMATS.values() for file in form.FILES]
    names += [VOCAB, TOKENIZER, SETTINGS, GENERATION, GENERATOR, CONFIG_NAME]
    names += [paper.name for paper in papers]
    tokenizer.check_fits(network.config.vocab_size, source or "The network")
    tokenizer = ElectraTokenizer.from_bytes(tokenizer.to_bytes())
    # Other readers cut texts there: it is what the network can take.
    tokenizer.settings["model_max_length"] = network.config.max_position_embeddings
    with into_folder(output, names, marker=CONFIG_NAME) as folder:
        parts = {folder: network}
        if generator is not None:
            parts[folder / GENERATOR] = generator
        for place, part in parts.items():
            _write(part, tokenizer, place, format, precision, texts or ())
            if isinstance(part, ElectraForCausalLM):
                _write_generation(part, tokenizer, place, source)
        is_rows = (format, precision) == (safetensors_file.NAME, safetensors_file.INT8)
        if generator is not None and is_rows:
            safetensors_file.share_encoder(folder / GENERATOR)
        for paper in papers:
            shutil.copyfile(paper, folder / paper.name)


def _write(
    network: PretrainedModel,
    tokenizer: ElectraTokenizer,
    folder: Path,
    format: str,
    precision: str,
    texts: Iterable[str],
) -> None:
    form = FORMATS[format]
    batches = []
    if precision in form.CALIBRATED:
        batches = calibration_batches(texts, tokenizer, network)
    folder.mkdir(exist_ok=True)
    if format != safetensors_file.NAME:
        extra = {**network.config.extra, "architectures": [type(network).__name__]}
        replace(network.config, extra=extra).save_pretrained(folder)
    form.write(network.eval(), folder, precision, batches)
    tokenizer.save_pretrained(folder)


def _write_generation(
    network: ElectraForCausalLM,
    tokenizer: ElectraTokenizer,
    folder: Path,
    source: Path | None,
) -> None:
    """What Transformers' ``generate`` goes by: the settings of the source, or pieces.

    It begins with [CLS] and ends with [SEP], as texts in training do.
    """
    file = None if source is None else source / GENERATION
    if file is not None and file.is_file():
        shutil.copyfile(file, folder / GENERATION)
        return
    values = {
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    (folder / GENERATION).write_text(json.dumps(values, indent=2) + "\n")


def _papers(source: Path) -> list[Path]:
    """Files that say whose the weights are; none that leads elsewhere or is large."""
    files = [file for pattern in PAPERS for file in sorted(source.glob(pattern))]
    return [
        file
        for file in files
        if file.is_file() and file.stat().st_size <= _LARGEST_PAPER
    ]
