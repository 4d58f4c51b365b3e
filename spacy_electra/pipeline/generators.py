"""Generators beside discriminators: where they lie, and how one is opened."""

from __future__ import annotations

from pathlib import Path

from ..errors import Errors
from ..models import ElectraConfig, ElectraForMaskedLM
from ..pretraining.pairs import DISCRIMINATOR, GENERATOR
from ..source import resolve_source
from ..tokenization import ElectraTokenizer


def folder_beside(source: str) -> Path | None:
    """The generator of a discriminator: below its folder or, in a run, beside it.

    None where there is none, or the source is not there any more.
    """
    try:
        folder = resolve_source(source)
    except FileNotFoundError:
        # A saved pipeline may be where its source is not.
        return None
    below, beside = folder / GENERATOR, folder.parent / GENERATOR
    if below.is_dir():
        return below
    if folder.name == DISCRIMINATOR and beside.is_dir():
        return beside
    return None


def open_generator(folder: Path, tokenizer: ElectraTokenizer) -> ElectraForMaskedLM:
    """A generator that has the vocabulary of a tokenizer.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If its vocabulary is another, or it is no masked language model.
    """
    _check_vocabulary(folder, tokenizer)
    network, report = ElectraForMaskedLM.from_pretrained_with_report(folder)
    if report.newly_initialized:
        raise ValueError(Errors.SE502(folder=folder))
    return network


def _check_vocabulary(folder: Path, tokenizer: ElectraTokenizer) -> None:
    try:
        own = ElectraTokenizer.from_pretrained(folder)
    except FileNotFoundError:
        # Without a vocabulary of its own it can be told by its size alone.
        size = ElectraConfig.from_pretrained(folder).vocab_size
        if size < tokenizer.vocab_size:
            found = f"{size:,} pieces"
            expected = f"{tokenizer.vocab_size:,}"
            raise ValueError(
                Errors.SE501(folder=folder, found=found, expected=expected)
            ) from None
        return
    theirs, ours = own.strings.tolist(), tokenizer.strings.tolist()
    if theirs != ours:
        first = next(
            (
                n
                for n, pair in enumerate(zip(theirs, ours, strict=False))
                if len(set(pair)) > 1
            ),
            min(len(theirs), len(ours)),
        )
        raise ValueError(
            Errors.SE501(
                folder=folder,
                found=f"{len(theirs):,} pieces, number {first} {_named(theirs, first)}",
                expected=f"{len(ours):,}, number {first} {_named(ours, first)}",
            )
        )


def _named(strings: list[str], number: int) -> str:
    return repr(strings[number]) if number < len(strings) else "missing"
