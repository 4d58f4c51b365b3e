"""Speed of `prepare` next to the `tokenizers` library alone on the same text.

    python benchmarks/prepare_speed.py CORPUS TOKENIZER

CORPUS is what `prepare` takes. The library encodes the same documents, already in
memory, in batches of 1,000 on all its threads, and its encodings are dropped; `prepare`
reads, decompresses, tokenizes and writes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

from spacy_electra.pretraining.corpus.documents import read_documents
from spacy_electra.pretraining.corpus.preparation import prepare_corpus
from spacy_electra.tokenization import ElectraTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="Where to write the figures")
    arguments = parser.parse_args()
    tokenizer = ElectraTokenizer.from_pretrained(arguments.tokenizer)
    started = time.perf_counter()
    documents = list(read_documents(arguments.corpus))
    reading = time.perf_counter() - started
    size = sum(len(text.encode("utf8")) for text in documents) / 1e6
    rows = {
        "reading alone": reading,
        "tokenizers alone": _library(documents, tokenizer),
    }
    for workers in sorted({1, arguments.workers}):
        with tempfile.TemporaryDirectory() as output:
            started = time.perf_counter()
            prepare_corpus(arguments.corpus, tokenizer, output, workers=workers)
            name = f"prepare, {workers} process{'es' if workers > 1 else ''}"
            rows[name] = time.perf_counter() - started
            started = time.perf_counter()
            prepare_corpus(arguments.corpus, tokenizer, output, workers=workers)
            rows["prepare, already finished"] = time.perf_counter() - started
    print(f"{size:.1f} MB of text")
    for name, seconds in rows.items():
        print(f"{name:28}{seconds:8.2f} s{size / seconds:10.1f} MB/s")
    if arguments.json:
        content = {"megabytes": size, "seconds": rows}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def _library(documents: list[str], tokenizer: ElectraTokenizer) -> float:
    remaining = iter(documents)
    started = time.perf_counter()
    while batch := list(islice(remaining, 1000)):
        tokenizer.backend.encode_batch(batch, add_special_tokens=False)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
