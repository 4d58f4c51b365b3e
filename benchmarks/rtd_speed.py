"""Words a second: `electra_rtd` in `nlp.pipe` beside a plain Transformers loop.

The loop is what one writes without this package: `ElectraForPreTraining` in fp32 over
padded batches of 32 texts, in their order, with the same weights, down to a
probability for each piece; it knows nothing of words. `nlp.pipe` does the whole job:
spaCy's tokens, alignment, scores and spans on the Doc.

    python benchmarks/rtd_speed.py ../shared/data/ud_english_ewt/en_ewt-ud-dev.conllu
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import spacy
import torch
import typer
from machine import in_turn, median, write_result
from spacy.language import Language
from transformers import ElectraForPreTraining as TheirModel
from transformers import ElectraTokenizerFast
from wasabi import msg

from spacy_electra.models import ElectraConfig, ElectraForPreTraining
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

BATCH = 32


def read_texts(file: Path, documents: bool) -> list[str]:
    """Sentences of a CoNLL-U file, or its documents."""
    texts: list[str] = []
    for line in file.read_text(encoding="utf8").splitlines():
        if documents and line.startswith("# newdoc"):
            texts.append("")
        elif line.startswith("# text = "):
            text = line.removeprefix("# text = ")
            if documents:
                texts[-1] = f"{texts[-1]} {text}".strip()
            else:
                texts.append(text)
    return texts


def pipeline(source: Path, precision: str) -> Language:
    """A pipeline of the one component."""
    nlp = spacy.blank("en")
    encoder = {"source": str(source), "precision": precision}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    return nlp


def their_loop(source: Path, texts: list[str]) -> Callable[[], None]:
    """The loop over Transformers' class."""
    tokenizer = ElectraTokenizerFast.from_pretrained(source)
    model = TheirModel.from_pretrained(source, torch_dtype=torch.float32).eval()
    limit = model.config.max_position_embeddings

    def run() -> None:
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(
                texts[start : start + BATCH],
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            )
            with torch.inference_mode():
                model(**batch).logits.sigmoid()

    return run


def main(
    corpus: Path = typer.Argument(..., help="CoNLL-U file"),
    source: str = typer.Option("en_tiny", help='Checkpoint, or "small" (its shape)'),
    documents: bool = typer.Option(False, help="Whole documents, not sentences"),
    rounds: int = typer.Option(5, help="How often each is timed"),
    threads: int = typer.Option(2, help="Threads of torch"),
) -> None:
    """Time the loop and the pipeline in turn, print and write words a second."""
    torch.set_num_threads(threads)
    texts = read_texts(corpus, documents)
    blank = spacy.blank("en")
    words = sum(map(len, blank.pipe(texts)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        if source == "small":
            # Speed does not depend on what the weights are.
            ElectraForPreTraining(ElectraConfig()).save_pretrained(path)
            tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
            tokenizer.save_pretrained(path)
        else:
            network = ElectraForPreTraining.from_pretrained(source)
            network.save_pretrained(path)
            ElectraTokenizer.from_pretrained(resolve_source(source)).save_pretrained(
                path
            )
        pipelines = {name: pipeline(path, name) for name in ("fp32", "bf16")}

        def ours(name: str) -> Callable[[], None]:
            return lambda: [None for _ in pipelines[name].pipe(texts)] and None

        loop = "Transformers loop, fp32"
        runs = {loop: their_loop(path, texts)}
        runs |= {f"electra_rtd, {name}": ours(name) for name in pipelines}
        runs["spaCy's tokenizer alone"] = lambda: (
            [None for _ in blank.pipe(texts)] and None
        )
        seconds = {name: median(v) for name, v in in_turn(runs, rounds).items()}
    kind = "documents" if documents else "sentences"
    msg.divider(f"{len(texts)} {kind}, {words} words, {source}")
    rows = [
        (name, f"{words / value:,.0f}", f"{seconds[loop] / value:.2f}")
        for name, value in seconds.items()
    ]
    msg.table(rows, header=("", "words/s", "times the loop"), divider=True)
    file = write_result(
        f"rtd_speed_{Path(source).name}_{kind}",
        {
            "texts": len(texts),
            "words": words,
            "rounds": rounds,
            "words_per_second": {n: round(words / v) for n, v in seconds.items()},
            "times_the_loop": {n: seconds[loop] / v for n, v in seconds.items()},
        },
    )
    msg.good(f"Wrote {file}")


if __name__ == "__main__":
    typer.run(main)
