"""Where the time of a fine-tuning step is, beside what its matrix products alone take.

    python benchmarks/step_budget.py ../shared/data

The steps are those of `finetune_speed.py` in bf16, on sentences or documents: of the
plain loop over Transformers' class, and of a pipeline of `electra` and a tagger. Three
tables, in milliseconds of a step, each the mean over the batches of the least of
several rounds:

- the sections of a step: forward and backward pass of the network, the optimizer (with
  the clipping of gradients), and the rest (`electra`: texts to pieces, the tagger and
  its loss, spaCy's `update`; the loop: padding);
- the products of all linear layers alone, forward, for the gradient of the rows and for
  that of the weights, of as many rows as each side has, one after the other over the
  same matrices, so that they are in the cache: the machine gives no more. Those within
  attention, of which the shapes depend on the implementation, are left out;
- the operators of a profile of one thread, by kind. They are timed by the wall clock,
  and a profile makes a step of many small operators slower, so these are larger than
  without. The products are those of the step, attention's too, over matrices that come
  from memory.

Bounds follow for `electra`: how many times as fast as the loop it would be if nothing
took time but its products at their best; if nothing did but those of the step and the
optimizer; and if GELU, norms, softmax and spaCy's part did as well, so that dropout,
sums, casts, gathers, embeddings and Python were free. Several threads are taken to
share all but the optimizer and spaCy's part evenly, and to lose nothing to each other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from encoder_speed import CLOCKS
from finetune_speed import WORDS, batches, parser_of, parts_of, read, sides
from machine import machine, write_result

from spacy_electra.models import ElectraConfig
from spacy_electra.models.linear import product

LOOP, OURS = "Transformers, bf16", "electra, bf16"
# Rounds over the products of a step.
ROUNDS = 5
PRODUCTS, REST = "matrix products", "the rest"
KINDS = {
    PRODUCTS: (
        *("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"),
        "mkldnn::_linear_pointwise",
    ),
    "random numbers in torch": ("aten::bernoulli_", "aten::random_"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "layer norms": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data"),
    "copies, casts, gathers": (
        *("aten::copy_", "aten::index_select", "aten::index_copy_", "aten::cat"),
        *("aten::clone", "aten::embedding"),
    ),
}
OTHERS = "all else"
Milliseconds = dict[str, float]


@contextmanager
def timed(
    places: Sequence[tuple[str, Any, str]], clock: Callable[[], float]
) -> Iterator[Milliseconds]:
    """Milliseconds in some methods, by the name of a section.

    Args:
        places: Section, and the object and the name of the method.
        clock: Gives seconds.
    """
    spent: Milliseconds = defaultdict(float)

    def watched(section: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            started = clock()
            try:
                return method(*arguments, **named)
            finally:
                spent[section] += 1000 * (clock() - started)

        return run

    kept = [getattr(holder, name) for _, holder, name in places]
    for (section, holder, name), method in zip(places, kept, strict=True):
        setattr(holder, name, watched(section, method))
    try:
        yield spent
    finally:
        for (_, holder, name), method in zip(places, kept, strict=True):
            setattr(holder, name, method)


def places_of(name: str, side: Any) -> list[tuple[str, Any, str]]:
    """The methods that make up the sections of a side."""
    backward = ("backward pass", torch.Tensor, "backward")
    if name == LOOP:
        return [
            ("forward pass", side.model, "forward"),
            backward,
            ("optimizer", side.optimizer, "step"),
            ("optimizer", torch.nn.utils, "clip_grad_norm_"),
        ]
    shim = side.nlp.get_pipe("electra").model.shim
    return [
        ("forward pass", shim.network, "forward_packed"),
        backward,
        ("optimizer", shim, "finish_update"),
    ]


def sections(
    name: str, side: Any, batch: Any, clock: Callable[[], float]
) -> Milliseconds:
    """Of one step."""
    started = clock()
    with timed(places_of(name, side), clock) as spent:
        side.step(batch)
    total = 1000 * (clock() - started)
    return {"all": total, **spent, REST: total - sum(spent.values())}


def products(
    rows: int, config: ElectraConfig, clock: Callable[[], float]
) -> Milliseconds:
    """Those of all linear layers of a network and a step, at their best."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    found: Milliseconds = defaultdict(float)
    for shape in shapes:
        for kind, run in products_of(rows, *shape).items():
            found[kind] += least(run, config.num_hidden_layers, clock)
    return {"products": sum(found.values()), **found}


def products_of(rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], Any]]:
    """Those of a linear layer."""
    below, above = (torch.randn(rows, n).bfloat16() for n in (inputs, outputs))
    weight, bias = torch.randn(outputs, inputs).bfloat16(), torch.randn(outputs)
    bias, of_rows, of_weight = bias.bfloat16(), below.clone(), weight.clone()
    return {
        "products, forward": lambda: product(below, weight, bias),
        "products, for rows": lambda: torch.mm(above, weight, out=of_rows),
        "products, for weights": lambda: torch.mm(above.t(), below, out=of_weight),
    }


def least(run: Callable[[], Any], times: int, clock: Callable[[], float]) -> float:
    """Milliseconds for so many runs, of the fastest of some rounds."""
    taken = []
    run()
    for _ in range(ROUNDS):
        started = clock()
        for _ in range(times):
            run()
        taken.append(1000 * (clock() - started))
    return min(taken)


def profile(side: Any, batch: Any) -> Milliseconds:
    """The operators of one step of one thread, by kind."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.profiler.profile(activities=activities) as profiler:
        side.step(batch)
    torch.set_num_threads(threads)
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    found = dict.fromkeys((*KINDS, OTHERS), 0.0)
    for event in profiler.key_averages():
        kind = kinds.get(event.key, OTHERS)
        found[kind] += event.self_cpu_time_total / 1000
    return found


def mean(parts: Sequence[Milliseconds]) -> Milliseconds:
    """By name."""
    return {key: statistics.mean(part[key] for part in parts) for key in parts[0]}


def measure(
    source: str, folder: Path, longest: int, arguments: argparse.Namespace
) -> dict[str, Milliseconds]:
    """A column a side."""
    clock = CLOCKS[arguments.clock]
    texts = read(folder / "en_ewt-ud-train.conllu", longest)
    config = ElectraConfig.from_pretrained(Path(source))
    made = sides(source, texts)
    chosen: dict[str, Any] = {name: made[name]() for name in (LOOP, OURS)}
    drawn = batches(texts, WORDS)[: arguments.batches + 1]
    ready = {name: [s.prepare(b) for b in drawn] for name, s in chosen.items()}
    packed = [[len(row["input_ids"]) for row in rows] for rows in ready[LOOP]]
    rows = {
        LOOP: [len(lengths) * max(lengths) for lengths in packed],
        OURS: [sum(lengths) for lengths in packed],
    }
    for name, side in chosen.items():
        side.step(ready[name][0])
    found: dict[str, list[Milliseconds]] = {name: [] for name in chosen}
    for number in range(1, len(drawn)):
        rounds: dict[str, list[Milliseconds]] = {name: [] for name in chosen}
        for _ in range(arguments.rounds):
            for name, side in chosen.items():
                rounds[name].append(sections(name, side, ready[name][number], clock))
        for name, side in chosen.items():
            best = min(rounds[name], key=lambda part: part["all"])
            count = rows[name][number]
            alone = products(count, config, clock)
            kinds = profile(side, ready[name][number])
            found[name].append({"rows": float(count), **best, **alone, **kinds})
    return {name: mean(parts) for name, parts in found.items()}


def show(part: str, threads: int, columns: dict[str, Milliseconds]) -> None:
    """A table, and what follows from it."""
    loop, ours = columns[LOOP], columns[OURS]
    print(f"\n{f'{part}, {threads} threads':34}{LOOP:>20}{OURS:>18}")
    for key in ours:
        print(f"{key:34}{loop[key]:20,.1f}{ours[key]:18,.1f}")
    in_step = ours[PRODUCTS] / threads + ours["optimizer"]
    others = sum(ours[kind] for kind in ("GELU", "layer norms", "softmax"))
    bounds = {
        "its products, in the cache": ours["products"],
        "its products as they are in the step, and the optimizer": in_step,
        "those, GELU, norms, softmax and the rest": (
            in_step + others / threads + ours[REST]
        ),
    }
    print(f"electra is {loop['all'] / ours['all']:.2f} times the loop.")
    for name, taken in bounds.items():
        print(
            f"With nothing but {name}, it would be {loop['all'] / taken:.2f}; for 2, "
            f"all else would have to take {loop['all'] / 2 - taken:.0f} ms in place of "
            f"{ours['all'] - taken:.0f}."
        )


def main() -> None:
    """Measure, print and write."""
    parser = parser_of(__doc__, threads=1)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = arguments.data / "ud_english_ewt"
    figures: dict[str, Any] = {}
    started = time.perf_counter()
    for part, source, longest in parts_of(arguments):
        figures[part] = measure(source, folder, longest, arguments)
        show(part, arguments.threads, figures[part])
    print(machine(), f"{time.perf_counter() - started:.0f} s")
    write_result(f"step_budget_{arguments.threads}", figures)


if __name__ == "__main__":
    main()
