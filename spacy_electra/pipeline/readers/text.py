"""Raw text as a corpus of `spacy train`: `spacy-electra.TextCorpus.v1`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ...pretraining.corpus.documents import read_documents
from .emptiness import never_silently_empty
from .files import check_counts


@registry.readers("spacy-electra.TextCorpus.v1")
def TextCorpus(
    path: Path, max_length: int = 10_000, limit: int = 0
) -> Callable[[Language], Iterator[Example]]:
    """Documents of .txt and .jsonl files as examples without annotation.

    In a .txt, blank lines separate documents; in a .jsonl, each line is an object with
    a "text". Files may be compressed (.gz, .xz).

    Args:
        path: A file, or a folder of them.
        max_length: Most characters of an example; a longer document is cut at white
            space into several. 0 for no limit.
        limit: Most documents to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.

    Raises:
        ValueError: If a number is negative.
    """
    check_counts(max_length=max_length, limit=limit)

    def read(nlp: Language) -> Iterator[Example]:
        documents: Iterable[str] = read_documents(path)
        for text in islice(documents, limit or None):
            for part in cut_at_white_space(text, max_length):
                doc = nlp.make_doc(part)
                yield Example(doc, doc.copy())

    return never_silently_empty(path, read)


def cut_at_white_space(text: str, max_length: int) -> Iterator[str]:
    """Cut a text into parts that add up to it.

    Args:
        text: Any text.
        max_length: Most characters a part; 0 for no limit. A longer stretch without
            white space is cut where it is full.
    """
    if not max_length:
        yield text
        return
    start = 0
    while start < len(text):
        end = start + max_length
        if end < len(text):
            blanks = [match.end() for match in re.finditer(r"\s", text[start:end])]
            end = start + blanks[-1] if blanks else end
        yield text[start:end]
        start = end
