"""What all but the network costs, beside the time of the tokenizer alone.

Before the network texts are cut into pieces, these are aligned with spaCy's tokens and
cut into windows; after it something is set on the Docs. The unit is the time that the
`tokenizers` library takes for the same texts in one call (`encode_batch`), with as many
threads. Pieces of chunks between blanks are remembered, so each figure comes twice:
with nothing remembered, and with all of it. On a larger corpus the former is its first
pass: what comes early is known later.

    python benchmarks/from_text.py ../shared/data/ud_english_ewt/en_ewt-ud-dev.conllu
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import spacy
import torch
import typer
from machine import in_turn, median, write_result
from spacy.attrs import IS_SPACE, LENGTH, ORTH, SPACY
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import minibatch
from wasabi import msg

from spacy_electra.pipeline.component import TOKENS_PER_GROUP, groups_by_length
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import align, joined
from spacy_electra.tokenization.windows import make_windows

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
UNIT = "the tokenizer alone"
# As `nlp.pipe` hands them to a component that asks for so many.
DOCS_PER_BATCH = 1000
WORDS_OF_SHORT = 5


def read_words(file: Path) -> dict[str, list[list[str]]]:
    """Words of the sentences and of the documents of a CoNLL-U file."""
    sentences: list[list[str]] = []
    documents: list[list[str]] = []
    for block in file.read_text(encoding="utf8").strip().split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines()]
        words = [row[1] for row in rows if len(row) == 10 and row[0].isdigit()]
        sentences.append(words)
        if "# newdoc" in block:
            documents.append([])
        documents[-1].extend(words)
    return {"sentences": sentences, "documents": documents}


def pipelines(source: str) -> dict[str, Language]:
    """One of each component."""
    configs: dict[str, Any] = {
        "electra": {"name": source},
        "electra_rtd": {"encoder": {"source": source}},
    }
    made = {}
    for name, model in configs.items():
        made[name] = nlp = spacy.blank("en")
        nlp.add_pipe(name, config={"model": model})
        nlp.initialize()
    return made


def without_network(nlp: Language, name: str) -> Any:
    """The component, with networks that compute nothing: they give what lies there.

    Logits are such that two tokens in a hundred are marked.
    """
    component: Any = nlp.get_pipe(name)
    # Once as it is, which prepares what a pipeline in use has.
    component.predict([Doc(nlp.vocab, words=["word"])])
    model = component.model
    encoder = model.encoder.shim if name == "electra_rtd" else model.shim
    states = torch.zeros(2**17, encoder.network.config.hidden_size)
    logits = torch.randn(2**17, generator=torch.Generator().manual_seed(0)) - 2.05

    def encode(batch: Any) -> Any:
        return SimpleNamespace(last_hidden_state=states[: len(batch.input_ids)])

    def give(network: Any, is_train: bool, precision: str | None = None) -> Any:
        return lambda compute: (compute(network), None)

    encoder.ready = partial(give, SimpleNamespace(forward_packed=encode))
    if name == "electra_rtd":
        model.shim.ready = partial(give, lambda rows: logits[: len(rows)])
    return component


def shared_tokenizer(components: Sequence[Any]) -> ElectraTokenizer:
    """One tokenizer for all components, so that one memory has to be emptied."""
    shims = [getattr(c.model, "encoder", c.model).shim for c in components]
    for shim in shims:
        shim.tokenizer = shims[0].tokenizer
    tokenizer: ElectraTokenizer = shims[0].tokenizer
    return tokenizer


def least(docs: list[Doc], tokenizer: ElectraTokenizer) -> dict[str, Callable[[], Any]]:
    """What can't be left out: calls of spaCy alone, and of the tokenizer for new words.

    A value for each token and a group of spans are what `electra_rtd` promises.
    """
    words = list(dict.fromkeys(token.text for doc in docs for token in doc))
    lines = [" ".join(words[i : i + 256]) for i in range(0, len(words), 256)]
    starts = [[token.idx for token in doc] for doc in docs]
    values = [[0.5] * len(doc) for doc in docs]

    def set_values() -> None:
        for doc, own_starts, own in zip(docs, starts, values, strict=True):
            keys = [("._.", "rtd_score", start, None) for start in own_starts]
            doc.user_data.update(zip(keys, own, strict=True))

    def set_spans() -> None:
        for doc in docs:
            found = [Span(doc, i, i + 1, "REPLACED") for i in range(49, len(doc), 50)]
            doc.spans["rtd"] = SpanGroup(doc, name="rtd", spans=found)

    encode = partial(tokenizer.backend.encode_batch, add_special_tokens=False)
    attributes = [ORTH, LENGTH, SPACY, IS_SPACE]
    return {
        "the tokenizer, each word once": partial(encode, lines),
        "spaCy: `doc.to_array`": lambda: [doc.to_array(attributes) for doc in docs],
        "spaCy: a value of each token": set_values,
        "spaCy: groups of spans": set_spans,
    }


def steps(
    docs: list[Doc], tokenizer: ElectraTokenizer, components: dict[str, Any]
) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    texts = [doc.text for doc in docs]
    pieces = align(docs, tokenizer)
    windows = partial(make_windows, window=128, stride=96, cls_id=0, sep_id=0)

    def first_time(run: Callable[[], Any]) -> Callable[[], Any]:
        def forget_and_run() -> None:
            del tokenizer.chunks
            run()

        return forget_and_run

    def pipe(component: Any) -> None:
        for _ in component.pipe(docs, batch_size=DOCS_PER_BATCH):
            pass

    def align_all() -> None:
        for batch in minibatch(docs, DOCS_PER_BATCH):
            # The alignment is found when somebody asks for it.
            assert len(joined(align(batch, tokenizer)).sizes)

    runs: dict[str, Callable[[], Any]] = {
        UNIT: lambda: tokenizer.backend.encode_batch(texts, add_special_tokens=False),
        **least(docs, tokenizer),
        "tokenize and align, first time": first_time(align_all),
        "tokenize and align, again": align_all,
        "windows": lambda: windows(pieces),
    }
    for name, component in components.items():
        run = partial(pipe, component)
        runs[f"all of `{name}` but the network, first time"] = first_time(run)
        runs[f"all of `{name}` but the network, again"] = run
    return runs


def make_bare(docs: list[Doc]) -> None:
    """Take from Docs what was set on them: those of a stream come without."""
    for doc in docs:
        doc.user_data.clear()
        doc.spans.clear()


def short_docs(nlp: Language, words: list[list[str]], count: int) -> list[Doc]:
    """So many Docs of the first words of sentences."""
    starts = islice(cycle(words), count)
    return [Doc(nlp.vocab, words=part[:WORDS_OF_SHORT]) for part in starts]


def network_and_attributes(
    rtd: Any, docs: list[Doc], clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds that `electra_rtd` takes to compute probabilities, and to set them."""
    seconds = {"network": 0.0, "attributes": 0.0}
    rtd.predict(docs[:DOCS_PER_BATCH])
    for batch in minibatch(docs, DOCS_PER_BATCH):
        for group in groups_by_length(batch, TOKENS_PER_GROUP):
            start = clock()
            scores = rtd.predict(group)
            middle = clock()
            rtd.set_annotations(group, scores)
            seconds["network"] += middle - start
            seconds["attributes"] += clock() - middle
    return seconds


def main(
    corpus: Path = typer.Argument(..., help="CoNLL-U file"),
    source: str = typer.Option("en_tiny", help="Checkpoint"),
    rounds: int = typer.Option(7, help="How often each is timed"),
    threads: int = typer.Option(1, help="Threads of the tokenizer and of torch"),
    clock: str = typer.Option("wall", help="wall, or cpu where there is other load"),
    short: int = typer.Option(100_000, help="Short Docs to set attributes of"),
    out: str = typer.Option(None, help="Name of the file in results"),
) -> None:
    """Time each step in turn; print and write milliseconds and shares."""
    # The library reads them at its first call.
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    torch.set_num_threads(threads)
    words = read_words(corpus)
    made = pipelines(source)
    report: dict[str, Any] = {"source": source, "rounds": rounds, "clock": clock}
    if short:
        nlp = made["electra_rtd"]
        docs = short_docs(nlp, words["sentences"], short)
        seconds = network_and_attributes(
            nlp.get_pipe("electra_rtd"), docs, CLOCKS[clock]
        )
        report["short"] = {"docs": short, "words": sum(map(len, docs)), **seconds}
        msg.divider(f"{short:,} Docs of {WORDS_OF_SHORT} words or fewer, {source}")
        each = [
            (name, f"{value:.2f} s", f"{1e6 * value / short:.1f} µs")
            for name, value in seconds.items()
        ]
        msg.table(each, header=("", "all", "a Doc"), divider=True)
    components = {name: without_network(nlp, name) for name, nlp in made.items()}
    tokenizer = shared_tokenizer(list(components.values()))
    for kind, texts in words.items():
        docs = [Doc(made["electra"].vocab, words=part) for part in texts]
        count = sum(map(len, docs))
        runs = steps(docs, tokenizer, components)
        timed = in_turn(runs, rounds, CLOCKS[clock], before=partial(make_bare, docs))
        seconds = {name: median(values) for name, values in timed.items()}
        report[kind] = {"texts": len(docs), "words": count, "seconds": seconds}
        msg.divider(f"{len(docs):,} {kind}, {count:,} words, {threads} threads")
        rows = [
            (
                name,
                f"{1000 * value:.1f}",
                f"{1e9 * value / count:.0f}",
                f"{value / seconds[UNIT]:.2f}",
            )
            for name, value in seconds.items()
        ]
        header = ("", "ms", "ns a word", "times the tokenizer")
        msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    file = write_result(out or f"from_text_{threads}", report)
    msg.good(f"Wrote {file}")


if __name__ == "__main__":
    typer.run(main)
