"""`.spacy` files whose Docs have questions or choices: `spacy-electra.DocCorpus.v1`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.util import registry

from ..attributes import copy_stored
from ..choices import register_choices
from ..questions import register_questions
from .emptiness import never_silently_empty

# What a component is given beside the text; what it is to find stays where it is.
INPUTS = ("questions", "question", "choices", "text_pair")


@registry.readers("spacy-electra.DocCorpus.v1")
def DocCorpus(
    path: Path, attributes: Sequence[str] = INPUTS, limit: int = 0
) -> Callable[[Language], Iterator[Example]]:
    """Docs as ``spacy.Corpus.v1`` reads them, with what is asked about them.

    That one gives the predicted Doc of an example the text alone, so a component finds
    no question on it.

    Args:
        path: A .spacy file, or a folder of them, from a ``DocBin`` with
            ``store_user_data=True``.
        attributes: Which of ``doc._.`` the predicted Doc gets as well.
        limit: Most examples to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.
    """
    register_questions()
    register_choices()
    corpus = Corpus(path, limit=limit)

    def read(nlp: Language) -> Iterator[Example]:
        for example in corpus(nlp):
            for name in attributes:
                copy_stored(example.reference, example.predicted, name)
            yield example

    return never_silently_empty(path, read)
