"""What a Korean vocabulary makes of treebanks, in syllables (NFC) and in letters (NFD).

    python benchmarks/korean_pieces.py CHECKPOINT FILE.conllu...

CHECKPOINT is a folder with the vocab.txt of a release; weights are not needed. For each
file and form: whether ids and offsets equal those of Transformers' class, how many
pieces are unknown, how many with a normalizer that joins the letters, whether those
pieces are the ones of the syllables, and how many tokens have no piece.
"""

from __future__ import annotations

import argparse
import unicodedata
from pathlib import Path

import numpy as np
import spacy
import srsly
import transformers
from machine import RESULTS

from spacy_electra.pretraining.evaluation.conllu import read_conllu
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import Pieces, align

RULE = {"nlp": {"tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}}}


def joining(plain: ElectraTokenizer, folder: Path) -> ElectraTokenizer:
    """The same tokenizer with NFC before BERT's normalization."""
    settings = plain.settings
    bert = {
        "type": "BertNormalizer",
        "clean_text": settings["clean_text"],
        "handle_chinese_chars": settings["tokenize_chinese_chars"],
        "strip_accents": settings["strip_accents"],
        "lowercase": settings["do_lower_case"],
    }
    normalizer = {"type": "Sequence", "normalizers": [{"type": "NFC"}, bert]}
    return ElectraTokenizer.from_pretrained(folder, normalizer=normalizer)


def unknown(pieces: list[Pieces]) -> float:
    """Share of the pieces that are unknown."""
    ids = np.concatenate([own.ids for own in pieces])
    return float((ids == pieces[0].unk_id).mean())


def measure(file: Path, folder: Path) -> list[dict[str, object]]:
    """A row for each form of the texts of a file."""
    texts = [sentence.text for sentence in read_conllu(file)]
    plain = ElectraTokenizer.from_pretrained(folder)
    theirs = transformers.ElectraTokenizerFast.from_pretrained(folder)
    joined = joining(plain, folder)
    nlp = spacy.blank("ko", config=RULE)
    rows, of_syllables = [], None
    for form in ("NFC", "NFD"):
        written = [unicodedata.normalize(form, text) for text in texts]
        ours = plain(written, return_offsets_mapping=True)
        expected = theirs(written, return_offsets_mapping=True)
        docs = [nlp.make_doc(text) for text in written]
        pieces = align(docs, joined)
        ids = [own.ids.tolist() for own in pieces]
        of_syllables = of_syllables or ids
        tokens = sum(not token.is_space for doc in docs for token in doc)
        with_pieces = sum(np.count_nonzero(own.alignment.lengths) for own in pieces)
        rows.append(
            {
                "file": file.name,
                "form": form,
                "sentences": len(texts),
                "as_transformers": ours["input_ids"] == expected["input_ids"]
                and ours["offset_mapping"] == expected["offset_mapping"],
                "unknown": unknown(align(docs, plain)),
                "unknown_joined": unknown(pieces),
                "pieces_of_syllables": ids == of_syllables,
                "tokens": tokens,
                "tokens_without_piece": tokens - int(with_pieces),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=RESULTS / "korean_pieces.json")
    arguments = parser.parse_args()
    rows = [r for file in arguments.files for r in measure(file, arguments.checkpoint)]
    for row in rows:
        print("  ".join(f"{name} {_shown(value)}" for name, value in row.items()))
    srsly.write_json(arguments.json, rows)


def _shown(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
