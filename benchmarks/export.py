"""ONNX Runtime and OpenVINO beside this package: accuracy, speed and size.

The discriminator says for every word of web text, some of which were swapped for words
of like frequency, whether it was replaced; the area under the curve is what that is
worth. All compute the same batches, in turn and by one thread: 32 sentences sorted by
length, padded for the graphs, packed for this package. The int8 of OpenVINO and of this
package learns its ranges from UD English EWT's dev part; nothing else looks at data.

    python benchmarks/export.py ../shared/data --source en_tiny --source en_small
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
import typer
from machine import in_turn, median, write_result
from rtd_texts import Case, WordSwaps, ewt_test, sentences_of
from wasabi import msg

from spacy_electra.exchange.calibration import Batch, calibration_batches
from spacy_electra.exchange.formats import FORMATS
from spacy_electra.metrics import area_under_curve
from spacy_electra.models import ElectraForPreTraining, ElectraModel, PackedBatch
from spacy_electra.models.inference import InferenceEncoder
from spacy_electra.models.int8 import Int8Encoder, can_quantize
from spacy_electra.tokenization import ElectraTokenizer

SENTENCES_PER_BATCH = 32
CALIBRATION_TEXTS = 300
# About as many pieces as `nlp.initialize` looks at.
CALIBRATION_SEQUENCES = 100
# From inputs to the logits of the pieces, [B, S].
Engine = Callable[[Batch], np.ndarray]


def sentences(data: Path, part: str) -> list[str]:
    """Of a part of UD English EWT."""
    if part == "test":
        return ewt_test(data)
    file = data / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu"
    lines = file.read_text(encoding="utf8").splitlines()
    return [line[len("# text = ") :] for line in lines if line.startswith("# text = ")]


def swapped(data: Path, most: int, seed: int = 0) -> list[Case]:
    """Sentences of the test part, with swapped words."""
    counts: Counter[str] = Counter()
    for text in sentences(data, "train"):
        counts.update(word for word in text.lower().split() if word.isalpha())
    swaps = WordSwaps(counts, seed)
    docs = sentences_of(sentences(data, "test"), swaps.is_known)
    order = np.random.default_rng(seed).permutation(len(docs))[:most]
    return [swaps.swap(docs[index], 0.15) for index in order]


def batches_of(
    cases: list[Case], tokenizer: ElectraTokenizer
) -> list[tuple[Batch, list[tuple[Case, list[int | None]]]]]:
    """Inputs, sorted by length, with the word of each piece."""
    by_length = sorted(cases, key=lambda case: len(case.doc))
    found = []
    for start in range(0, len(by_length), SENTENCES_PER_BATCH):
        own = by_length[start : start + SENTENCES_PER_BATCH]
        encoded = tokenizer(
            [[token.text for token in case.doc] for case in own],
            is_split_into_words=True,
            padding=True,
            truncation=True,
        )
        inputs = {n: np.array(v, dtype=np.int64) for n, v in encoded.items()}
        words = [encoded.word_ids(row) for row in range(len(own))]
        found.append((inputs, list(zip(own, words, strict=True))))
    return found


def of_package(network: ElectraForPreTraining, encoder: InferenceEncoder) -> Engine:
    """The network as components run it."""

    def run(inputs: Batch) -> np.ndarray:
        ids = torch.from_numpy(inputs["input_ids"])
        mask = torch.from_numpy(inputs["attention_mask"]).bool()
        packed = PackedBatch.from_sequences(
            [row[own] for row, own in zip(ids, mask, strict=True)]
        )
        with torch.inference_mode():
            hidden = encoder.forward_packed(packed).last_hidden_state
            logits = torch.zeros(ids.shape)
            logits[mask] = network.head(hidden.float())
        return logits.numpy()

    return run


def encoders_of(
    network: ElectraModel, calibration: list[Batch]
) -> dict[str, InferenceEncoder]:
    """An encoder in each precision that this processor is fast in."""
    encoders = {
        "fp32": InferenceEncoder(network, torch.float32),
        "bf16": InferenceEncoder(network, torch.bfloat16),
    }
    if can_quantize(network):
        rows = [torch.from_numpy(batch["input_ids"][0]) for batch in calibration]
        sequences = PackedBatch.from_sequences(rows[:CALIBRATION_SEQUENCES])
        encoders["int8"] = Int8Encoder(network, sequences)
    return encoders


def of_onnxruntime(file: Path) -> Engine:
    """ONNX Runtime by one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options)
    return lambda inputs: session.run(["logits"], inputs)[0]


def of_openvino(file: Path, hint: str) -> Engine:
    """OpenVINO by one thread."""
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    model = openvino.compile_model(file, "CPU", settings)
    return lambda inputs: model(inputs)["logits"]


def judged(engine: Engine, batches: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The largest logit of the pieces of each word that counts, and what it is."""
    scores, labels = [], []
    for inputs, rows in batches:
        for logits, (case, words) in zip(engine(inputs), rows, strict=True):
            own = np.full(len(case.doc), -np.inf)
            for logit, word in zip(logits, words, strict=False):
                if word is not None:
                    own[word] = max(own[word], logit)
            counts = case.judged & np.isfinite(own)
            scores.append(own[counts])
            labels.append(case.wrong[counts])
    return np.concatenate(scores), np.concatenate(labels)


def measure(source: str, data: Path, most: int, rounds: int) -> dict[str, Any]:
    """All figures of a checkpoint."""
    network = ElectraForPreTraining.from_pretrained(source)
    tokenizer = ElectraTokenizer.from_pretrained(source)
    batches = batches_of(swapped(data, most), tokenizer)
    texts = sentences(data, "dev")[:CALIBRATION_TEXTS]
    calibration = calibration_batches(texts, tokenizer, network)
    engines = {
        f"spacy-electra, {name}": of_package(network, encoder)
        for name, encoder in encoders_of(network.electra, calibration).items()
    }
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as place:
        for format, precisions in (
            ("onnx", ("fp32", "int8")),
            ("openvino", ("fp32", "int8")),
        ):
            for precision in precisions:
                folder = Path(place) / f"{format}_{precision}"
                folder.mkdir()
                FORMATS[format].write(network, folder, precision, calibration)
                size = sum(f.stat().st_size for f in folder.iterdir())
                file = folder / FORMATS[format].FILE
                own = {}
                if format == "onnx":
                    own[f"ONNX Runtime, {precision}"] = of_onnxruntime(file)
                else:
                    own[f"OpenVINO, {precision}"] = of_openvino(file, "f32")
                    if precision == "fp32":
                        own["OpenVINO, fp32 run in bf16"] = of_openvino(file, "bf16")
                engines |= own
                sizes |= dict.fromkeys(own, size)

        def timed(engine: Engine) -> Callable[[], None]:
            return lambda: (
                [None for inputs, _ in batches if engine(inputs) is None] and None
            )

        seconds = in_turn({n: timed(engine) for n, engine in engines.items()}, rounds)
        first = "spacy-electra, fp32"
        expected, labels = judged(engines[first], batches)
        figures = {}
        for name, engine in engines.items():
            scores, _ = judged(engine, batches)
            ratios = [a / b for a, b in zip(seconds[first], seconds[name], strict=True)]
            figures[name] = {
                "auc": area_under_curve(scores, labels),
                "mean_difference": float(np.abs(scores - expected).mean()),
                "times_as_fast": median(ratios),
                "megabytes": round(sizes[name] / 1e6, 1) if name in sizes else None,
            }
    pieces = int(sum(inputs["attention_mask"].sum() for inputs, _ in batches))
    return {"words": len(labels), "pieces": pieces, "engines": figures}


def main(
    data: Path = typer.Argument(..., help="Folder of data sets"),
    source: list[str] = typer.Option(["en_tiny"], help="Checkpoint; may be repeated"),
    sentences: int = typer.Option(320, help="Most sentences"),
    rounds: int = typer.Option(5, help="How often each is timed"),
) -> None:
    """Measure checkpoints in all formats; print and write the figures."""
    torch.set_num_threads(1)
    results = {name: measure(name, data, sentences, rounds) for name in source}
    for name, figures in results.items():
        msg.divider(f"{name}, {figures['words']} words, {figures['pieces']} pieces")
        rows = [
            (
                engine,
                f"{own['auc']:.4f}",
                f"{own['mean_difference']:.5f}",
                f"{own['times_as_fast']:.2f}",
                "" if own["megabytes"] is None else f"{own['megabytes']:.1f}",
            )
            for engine, own in figures["engines"].items()
        ]
        header = ("Engine", "AUC", "Mean difference", "Times as fast", "MB")
        msg.table(rows, header=header, divider=True)
    versions = {m.__name__: m.__version__ for m in (onnxruntime, openvino)}
    msg.good(
        f"Wrote {write_result('export', {'versions': versions, 'models': results})}"
    )


if __name__ == "__main__":
    typer.run(main)
