"""Pipelines that mark words, from whatever a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import spacy
from spacy.language import Language

from ..errors import Errors
from ..pipeline.rtd import ElectraRTD
from ..pipeline.saving.folder import pipeline_folder

_CONFIG, _FACTORY = "config.cfg", "electra_rtd"
# spaCy's rules cut words at blanks and signs; its default for Korean needs MeCab.
_RULES = {"nlp": {"tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}}}


def open_detector(
    source: str, lang: str = "en", **config: Any
) -> tuple[Language, ElectraRTD]:
    """A pipeline that ends with ``electra_rtd``, and that component.

    Args:
        source: A saved pipeline, or what an encoder takes: a folder of a checkpoint, a
            bundled name, a hub id.
        lang: Of a new pipeline.
        config: Settings of a new component.

    Raises:
        ValueError: If the pipeline has no such component, or several.
    """
    folder = pipeline_folder(source)
    if folder is None:
        nlp = blank(lang)
        encoder = {"encoder": {"source": source}}
        nlp.add_pipe(_FACTORY, config={**config, "model": encoder})
        return nlp, cast(ElectraRTD, nlp.get_pipe(_FACTORY))
    nlp = spacy.load(folder)
    names = [name for name, pipe in nlp.pipeline if isinstance(pipe, ElectraRTD)]
    name = _only(names, source)
    after = nlp.pipe_names[nlp.pipe_names.index(name) + 1 :]
    for other in after:
        nlp.disable_pipe(other)
    return nlp, cast(ElectraRTD, nlp.get_pipe(name))


def blank(lang: str) -> Language:
    """An empty pipeline; Korean is cut by rules where MeCab does not run.

    Raises:
        ValueError: If spaCy has no such language, or lacks what it needs for it.
    """
    if lang == "ko" and not _runs_mecab():
        return spacy.blank(lang, config=_RULES)
    try:
        return spacy.blank(lang)
    except ImportError as error:
        raise ValueError(Errors.SE149(lang=lang, error=error)) from error


def _runs_mecab() -> bool:
    try:
        spacy.blank("ko").make_doc("\uae00")
    except Exception:  # natto-py raises its own where the library or a dictionary lacks
        return False
    return True


def folder_in_pipeline(pipeline: Path) -> Path:
    """Where ``electra_rtd`` lies in a saved pipeline.

    Raises:
        ValueError: If it is not there, or several are.
    """
    components = spacy.util.load_config(pipeline / _CONFIG)["components"]
    names = [name for name, c in components.items() if c.get("factory") == _FACTORY]
    return pipeline / _only(names, pipeline)


def _only(names: list[str], source: object) -> str:
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise ValueError(Errors.SE540(source=source, found=found))
    return names[0]
