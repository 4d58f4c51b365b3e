"""Whether detecting replaced pieces teaches an encoder more than naming masked ones.

Encoders of one shape learn by each objective, on the same number of pieces and, for the
masked language model, on as many as the time of `rtd` allows; then each of them is put
to use: a tagger on EWT, frozen and not, and a linear classifier of cooking questions.
The same runs show what the local start is worth, as a picture of losses over pieces.

    python benchmarks/objectives.py corpus/shards ../shared/data

Minutes are of processor time, so that other work on the machine counts for nobody; one
thread is best (`OMP_NUM_THREADS=1`). What a run is done with stays in the working
folder and is not done again; `--report` prints the tables of what is there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import srsly
import torch
import torch.nn.functional as F
import typer
from machine import write_result
from numpy.typing import NDArray
from recipes import short_run
from torch import Tensor
from wasabi import msg

from spacy_electra.metrics import area_under_curve
from spacy_electra.models import PackedBatch
from spacy_electra.models.packing import split_by_tokens
from spacy_electra.models.precision import autocast
from spacy_electra.pretraining.corpus.shards import Shards
from spacy_electra.pretraining.evaluation.conllu import read_conllu
from spacy_electra.pretraining.evaluation.probe import ProbeSettings, probe
from spacy_electra.pretraining.objective import Losses
from spacy_electra.pretraining.pairs import Pair, open_pair
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.start import word_start

# Sizes at which minutes on one core are enough to learn something; the rest is that of
# the recipe. The generator keeps half of the width.
SHAPE: dict[str, Any] = {
    "model.discriminator.hidden_size": 128,
    "model.discriminator.num_attention_heads": 4,
    "model.discriminator.intermediate_size": 512,
    "model.generator.num_attention_heads": 2,
    "data.length": 128,
    "data.batch_tokens": 2048,
    "optimizer.warmup_steps": 20,
    "training.report_every": 10,
    "training.evaluate_sequences": 128,
    "training.trackers": [],
}
# Neither warm-up nor correction, and the generator's own samples from the first step.
PAPER: dict[str, Any] = {
    "objective.mlm_warmup": 0.0,
    "objective.correction_weight": 0.0,
    "sampler.start": 1.0,
    "sampler.end": 1.0,
}
EVALUATIONS = 12
# To measure on, of 2,001 and 2,000.
SENTENCES, QUESTIONS = 1000, 1000
# Of a question, from its beginning.
PIECES = 126
PENALTY = 0.01
FIGURES = ("mlm_loss", "auc_frequency", "auc_generator")


@dataclass(frozen=True)
class Arm:
    """A way to pretrain.

    Args:
        name: What the tables call it.
        changes: Settings that differ from the recipe.
        time_of: Another arm, whose time this one may use; "" for as many pieces.
        used: Whether the encoder is put to use, too.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    time_of: str = ""
    used: bool = True


MLM: dict[str, Any] = {"objective.name": "mlm"}
ARMS = (
    Arm("mlm", MLM),
    Arm("rtd"),
    Arm("rtd-gdes", {"objective.name": "rtd-gdes"}),
    Arm("mlm, time of rtd", MLM, time_of="rtd"),
    Arm("rtd, the paper's loss", PAPER),
    Arm("mlm, usual start", {**MLM, "model.init": "usual"}, used=False),
    Arm("mlm, random words", {**MLM, "model.words": "random"}, used=False),
    Arm(
        "mlm, usual start, random words",
        {**MLM, "model.init": "usual", "model.words": "random"},
        used=False,
    ),
)
UNTRAINED = Arm("no pretraining")
STARTS = {
    "mlm": "local start, words from co-occurrence",
    "mlm, usual start": "usual start, words from co-occurrence",
    "mlm, random words": "local start, random words",
    "mlm, usual start, random words": "usual start, random words",
}
COMPARED = (
    ("rtd", "mlm"),
    ("rtd", "mlm, time of rtd"),
    ("rtd", "rtd, the paper's loss"),
    ("rtd-gdes", "rtd"),
    ("mlm", "no pretraining"),
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all runs share.

    Args:
        shards: Tokenized corpus.
        data: Folder with the treebank and the cooking questions.
        work: Where results stay.
        tokens: Pieces a run.
        sentences: Of the treebank, to train the taggers on.
    """

    shards: Path
    data: Path
    work: Path
    tokens: int
    sentences: int

    def folder(self, arm: Arm, seed: int) -> Path:
        """Where results of a run stay: another shape needs another working folder."""
        name = arm.name.replace(",", "").replace("'", "").replace(" ", "-")
        return self.work / f"{name}-{self.tokens}-{seed}"


class TimedTrainer(Trainer):
    """Counts the processor's time in steps, besides that of the clock."""

    core_seconds = 0.0

    def take_step(self) -> tuple[int, Losses]:
        """One step."""
        started = time.process_time()
        result = super().take_step()
        self.core_seconds += time.process_time() - started
        return result


def once(file: Path, run: Callable[[], Record]) -> Record:
    """What a file says, or what a run gives, which is then written to it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".part")
        srsly.write_json(partial, run())
        os.replace(partial, file)
    record: Record = srsly.read_json(file)
    return record


def pretrained(bench: Bench, arm: Arm, seed: int) -> Record:
    """The figures of a pretraining run; its encoder stays in its folder."""
    folder = bench.folder(arm, seed)

    def run() -> Record:
        tokens = bench.tokens
        if arm.time_of:
            other = next(a for a in ARMS if a.name == arm.time_of)
            budget = pretrained(bench, other, seed)["seconds"]
            same_pieces = next(a for a in ARMS if a.changes == arm.changes)
            needed = pretrained(bench, same_pieces, seed)["seconds"]
            tokens = round(tokens * budget / needed)
        changes = {**SHAPE, **arm.changes, "training.seed": seed}
        if arm.name in STARTS:
            steps = tokens // SHAPE["data.batch_tokens"]
            changes["training.evaluate_every"] = max(steps // EVALUATIONS, 1)
        settings = short_run(bench.shards, tokens, changes)
        # Of a run that did not come to its end.
        shutil.rmtree(folder / "run", ignore_errors=True)
        trainer = TimedTrainer(settings, folder / "run")
        rows: list[dict[str, Any]] = []
        trainer.train(report=rows.append)
        return {
            "tokens": trainer.tokens,
            "seconds": trainer.core_seconds,
            "log": rows,
            "figures": {name: rows[-1].get(name) for name in FIGURES},
        }

    return once(folder / "pretraining.json", run)


def untrained(bench: Bench, arm: Arm, seed: int) -> Record:
    """An encoder as it is before the first step."""
    folder = bench.folder(arm, seed)

    def run() -> Record:
        changes = {**SHAPE, "training.seed": seed}
        trainer = Trainer(short_run(bench.shards, 1, changes), folder / "run")
        word_start.start_words(trainer.objective, trainer.shards)
        trainer.finish()
        return {"tokens": 0, "seconds": 0.0, "log": [], "figures": {}}

    return once(folder / "pretraining.json", run)


def tagging(bench: Bench, arm: Arm, seed: int) -> Record:
    """Accuracy of a tagger on an encoder, as the command `probe` measures it."""
    folder = bench.folder(arm, seed)

    def run() -> Record:
        treebank = bench.data / "ud_english_ewt"
        known = read_conllu(treebank / "en_ewt-ud-train.conllu")
        pair = open_pair(folder / "run")
        return probe(
            pair.discriminator.electra,
            pair.tokenizer,
            list(islice(known, bench.sentences)),
            list(islice(read_conllu(treebank / "en_ewt-ud-dev.conllu"), SENTENCES)),
            ProbeSettings(seed=seed),
        )

    return once(folder / f"tagging-{bench.sentences}.json", run)


def classifying(bench: Bench, arm: Arm, seed: int) -> Record:
    """How well a linear classifier of an encoder's states labels cooking questions.

    The encoder stays as it is: so few questions teach a pipeline little in the minutes
    that there are. No question of the test is learned from, though the files share 99.
    """
    folder = bench.folder(arm, seed)

    def run() -> Record:
        test = list(islice(cooking_rows(bench, "dev"), QUESTIONS))
        seen = {row["text"] for row in test}
        known = [r for r in cooking_rows(bench, "train") if r["text"] not in seen]
        names = sorted(test[0]["cats"])
        pair = open_pair(folder / "run")
        states = [
            text_states(pair, [r["text"] for r in rows]) for rows in (known, test)
        ]
        middle, spread = states[0].mean(0), states[0].std(0).clamp(min=1e-6)
        learn, measure = ((part - middle) / spread for part in states)
        labels = torch.tensor([[r["cats"][n] for n in names] for r in known])
        truth = np.array([[r["cats"][n] for n in names] for r in test]) > 0.5
        scores = linear_scores(learn, labels, measure).numpy()
        areas = [
            area_under_curve(*pair) for pair in zip(scores.T, truth.T, strict=True)
        ]
        return {"macro_auc": float(np.nanmean(areas))}

    return once(folder / "cooking.json", run)


@torch.no_grad()
def text_states(pair: Pair, texts: list[str]) -> Tensor:
    """Means over a text's pieces of each layer's states, float32 [N, layers x H].

    All layers count: which one knows most must not decide the comparison.
    """
    encoder, tokenizer = pair.discriminator.electra, pair.tokenizer
    ids = [
        torch.tensor(
            [tokenizer.cls_token_id, *encoding.ids[:PIECES], tokenizer.sep_token_id]
        )
        for encoding in tokenizer.encode_batch(texts)
    ]
    result: list[Tensor] = [torch.empty(0)] * len(ids)
    for group in split_by_tokens([len(row) for row in ids], 4096):
        batch = PackedBatch.from_sequences([ids[index] for index in group])
        with autocast(encoder.device, "auto"):
            encoded = encoder.forward_packed(batch, output_hidden_states=True)
        layers = torch.cat(encoded.hidden_states or (), dim=1).float()
        parts = layers.split([len(ids[index]) for index in group])
        for index, part in zip(group, parts, strict=True):
            result[index] = part.mean(0)
    return torch.stack(result)


def linear_scores(known: Tensor, labels: Tensor, unseen: Tensor) -> Tensor:
    """Scores of labels by logistic regression with a penalty, [N, labels]."""
    layer = torch.nn.Linear(known.shape[1], labels.shape[1])
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=100, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(layer(known), labels)
        value = value + PENALTY * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        scores: Tensor = layer(unseen)
    return scores


def cooking_rows(bench: Bench, split: str) -> Iterable[dict[str, Any]]:
    """The lines of a file of cooking questions."""
    file = bench.data / "cooking" / f"cooking-{split}.jsonl"
    rows: Iterable[dict[str, Any]] = srsly.read_jsonl(file)
    return rows


def count_words_once() -> None:
    """Let all runs of this process share word vectors: the corpus decides on them."""
    known: dict[tuple[int, int], Tensor] = {}
    count = word_start.word_vectors

    def remembered(ids: NDArray[np.integer], vocab_size: int, width: int) -> Tensor:
        key = (len(ids), width)
        if key not in known:
            known[key] = count(ids, vocab_size, width)
        return known[key]

    word_start.word_vectors = remembered


def whole_run(bench: Bench, arm: Arm, seed: int) -> Record:
    """All figures of an arm."""
    pretraining = untrained if arm is UNTRAINED else pretrained
    record = {"arm": arm.name, "seed": seed, **pretraining(bench, arm, seed)}
    if arm.used:
        record["tagging"] = tagging(bench, arm, seed)
        record["cooking"] = classifying(bench, arm, seed)
    return record


def finished(bench: Bench, arm: Arm, seeds: list[int]) -> list[Record]:
    """The records of an arm that are there, without doing what is missing."""
    files = ["pretraining.json"]
    if arm.used:
        files += [f"tagging-{bench.sentences}.json", "cooking.json"]
    return [
        whole_run(bench, arm, seed)
        for seed in seeds
        if all((bench.folder(arm, seed) / file).exists() for file in files)
    ]


COLUMNS: dict[str, Callable[[Record], float]] = {
    "frozen tagger": lambda record: 100 * record["tagging"]["frozen"],
    "unfrozen tagger": lambda record: 100 * record["tagging"]["unfrozen"],
    "cooking, macro AUC": lambda record: 100 * record["cooking"]["macro_auc"],
}


def use_rows(records: dict[str, list[Record]]) -> list[list[str]]:
    """What each encoder was worth: a row an arm, means and values by seed."""
    rows = []
    for name, found in records.items():
        if not found or "tagging" not in found[0]:
            continue
        pieces = f"{fmean(r['tokens'] for r in found):,.0f}"
        minutes = f"{fmean(r['seconds'] for r in found) / 60:.2f}"
        cells = [cell([value(r) for r in found]) for value in COLUMNS.values()]
        rows.append([name, pieces, minutes, *cells])
    return rows


def difference_rows(records: dict[str, list[Record]]) -> list[list[str]]:
    """What arms are ahead of others, seed by seed."""
    rows = []
    for one, other in COMPARED:
        by_seed = {r["seed"]: r for r in records[other]}
        pairs = [(r, by_seed[r["seed"]]) for r in records[one] if r["seed"] in by_seed]
        if pairs:
            cells = [
                cell([value(a) - value(b) for a, b in pairs], sign="+")
                for value in COLUMNS.values()
            ]
            rows.append([f"{one} − {other}", *cells])
    return rows


def pretraining_rows(records: dict[str, list[Record]]) -> list[list[str]]:
    """The figures of pretraining itself, on held-out text."""
    rows = []
    for name, found in records.items():
        if not found or not found[0]["figures"]:
            continue
        cells = []
        for figure in FIGURES:
            values = [r["figures"][figure] for r in found]
            known = [v for v in values if v is not None]
            cells.append(cell(known, digits=3) if known else "–")
        speed = sum(r["tokens"] for r in found) / sum(r["seconds"] for r in found)
        rows.append([name, str(len(found)), f"{speed:,.0f}", *cells])
    return rows


def cell(values: list[float], digits: int = 1, sign: str = "") -> str:
    """The mean, and each value where there are several."""
    shown = [f"{value:{sign}.{digits}f}" for value in (fmean(values), *values)]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({', '.join(shown[1:])})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw_starts(records: dict[str, list[Record]], bench: Bench, picture: Path) -> None:
    """Held-out losses of the starts over pieces, a line a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, label) in enumerate(STARTS.items()):
        for index, record in enumerate(records[name]):
            rows = [row for row in record["log"] if "mlm_loss" in row]
            axes.plot(
                [row["tokens"] / 1e6 for row in rows],
                [row["mlm_loss"] for row in rows],
                color=f"C{number}",
                marker=".",
                label=None if index else label,
            )
    counts = Shards.open(bench.shards).counts
    shares = counts[counts > 0] / counts.sum()
    entropy = -float((shares * np.log(shares)).sum())
    axes.axhline(entropy, color="grey", linewidth=0.8, linestyle=":")
    axes.text(
        0.99,
        entropy,
        "entropy of single pieces",
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="bottom",
        color="grey",
    )
    axes.set(xlabel="million pieces", ylabel="MLM loss, held out (nats)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)
    msg.good(f"Drew {picture}")


def report(bench: Bench, seeds: list[int], picture: Path | None) -> None:
    """Print and write what is there."""
    records = {arm.name: finished(bench, arm, seeds) for arm in (UNTRAINED, *ARMS)}
    for header, rows in (
        (["objective", "pieces", "minutes", *COLUMNS], use_rows(records)),
        (["difference", *COLUMNS], difference_rows(records)),
        (
            ["run", "seeds", "pieces/s", "MLM loss", "AUC frequency", "AUC generator"],
            pretraining_rows(records),
        ),
    ):
        print(f"\n{table(header, rows)}")
    settings = {
        "tokens": bench.tokens,
        "sentences": bench.sentences,
        "shape": SHAPE,
    }
    runs = [record for found in records.values() for record in found]
    if runs:
        file = write_result(
            f"objectives_{bench.tokens}", {"settings": settings, "runs": runs}
        )
        msg.good(f"Wrote {file}")
    if picture is not None:
        draw_starts(records, bench, picture)


def main(
    shards: Path = typer.Argument(..., help="Tokenized corpus"),
    data: Path = typer.Argument(..., help="Folder with ud_english_ewt and cooking"),
    work: Path = typer.Option(Path("output/objectives"), help="Where results stay"),
    tokens: int = typer.Option(300_000, help="Pieces a run"),
    sentences: int = typer.Option(800, help="Sentences to train the taggers on"),
    seeds: int = typer.Option(2, help="Runs of everything"),
    only: list[str] = typer.Option([], help="Names of runs; all by default"),
    report_only: bool = typer.Option(False, "--report", help="Print what is there"),
    picture: Path = typer.Option(None, help="Where to draw the curves of the starts"),
) -> None:
    """Do what is missing, a seed of everything before the next; print all figures."""
    bench = Bench(shards, data, work, tokens, sentences)
    chosen = [arm for arm in (UNTRAINED, *ARMS) if not only or arm.name in only]
    count_words_once()
    for seed in range(0 if report_only else seeds):
        for arm in chosen:
            record = whole_run(bench, arm, seed)
            kept = {key: value for key, value in record.items() if key != "log"}
            msg.info(f"{time.strftime('%H:%M')} {kept}")
    report(bench, list(range(seeds)), picture)


if __name__ == "__main__":
    typer.run(main)
