"""Speed of pretraining next to the usual loop over Transformers' models.

    python benchmarks/pretrain_speed.py

Both train the same generator and discriminator (ELECTRA-Small, 1/4 width) on the same
sequences of 128 random pieces, with dropout, in the same precision, in one process:
each step of the one is followed by the same step of the other. The usual loop masks,
runs `ElectraForMaskedLM` and `ElectraForPreTraining` padded, as sequences of one length
need no padding, takes logits at masked positions only, samples with Gumbel noise, and
steps with torch's AdamW. Ours is `Trainer.take_step`'s work on
`ReplacedTokenDetection` with the same optimizer. The mean losses of the steps are shown
beside each other: both see the same data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PackedBatch,
)
from spacy_electra.models.precision import autocast
from spacy_electra.pretraining.masking import Masking
from spacy_electra.pretraining.objective import ReplacedTokenDetection
from spacy_electra.pretraining.optimizers import adamw
from spacy_electra.pretraining.samplers import GeneratorSampler

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SPECIAL = (0, 100, 101, 102, 103)
CLS, SEP, MASK = 101, 102, 103
# Ids from here on are no special ones, in a vocabulary of any size.
FIRST_ORDINARY = 1000
RATE, RTD_WEIGHT = 5e-4, 50.0
# Rows of a profile.
OPERATORS = 16
Step = Callable[[Tensor], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--profile", action="store_true", help="where a step's time is")
    parser.add_argument("--json", type=Path, help="Where to write the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batches = _batches(arguments)
    rows = []
    for precision in arguments.precisions:
        steps = {}
        for name, make in (("Transformers", usual_loop), ("spacy-electra", ours)):
            torch.manual_seed(0)
            steps[name] = make(arguments, precision)
        for name, (speed, loss) in _measure(steps, batches, arguments).items():
            rows.append(
                {"loop": name, "precision": precision, "speed": speed, "loss": loss}
            )
            print(f"{name:14}{precision:6}{speed:10,.0f} pieces/s   loss {loss:.3f}")
        if arguments.profile:
            for name, step in steps.items():
                print_profile(f"{name} {precision}", step, batches[-1])
    _print_ratios(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def usual_loop(arguments: argparse.Namespace, precision: str) -> Step:
    """One step as it is commonly written."""
    config = _config(arguments)
    device = torch.device(arguments.device)
    generator = transformers.ElectraForMaskedLM(_theirs(config.generator()))
    discriminator = transformers.ElectraForPreTraining(_theirs(config))
    generator.electra.embeddings = discriminator.electra.embeddings
    generator.generator_lm_head.weight = (
        discriminator.electra.embeddings.word_embeddings.weight
    )
    both = torch.nn.ModuleList([generator, discriminator]).to(device).train()
    optimizer = torch.optim.AdamW(both.parameters(), lr=RATE, eps=1e-6)
    special = torch.tensor(SPECIAL)

    def step(ids: Tensor) -> float:
        chance = torch.full(ids.shape, 0.15)
        chance[torch.isin(ids, special)] = 0.0
        chosen = torch.bernoulli(chance).bool()
        hidden = torch.bernoulli(torch.full(ids.shape, 0.85)).bool() & chosen
        masked = ids.masked_fill(hidden, MASK).to(device)
        ids, chosen = ids.to(device), chosen.to(device)
        with autocast(device, precision):
            states = generator.electra(masked).last_hidden_state[chosen]
            logits = generator.generator_lm_head(
                generator.generator_predictions(states)
            )
            mlm = F.cross_entropy(logits.float(), ids[chosen])
            with torch.no_grad():
                noise = -torch.log(-torch.log(torch.rand_like(logits.float()) + 1e-9))
                samples = (logits.float() + noise).argmax(-1)
                corrupted = ids.masked_scatter(chosen, samples)
                labels = (corrupted != ids).float()
            scores = discriminator(corrupted).logits.float()
            rtd = F.binary_cross_entropy_with_logits(scores, labels)
        loss = mlm + RTD_WEIGHT * rtd
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def ours(arguments: argparse.Namespace, precision: str) -> Step:
    """One step of the package."""
    config = _config(arguments)
    device = torch.device(arguments.device)
    objective = ReplacedTokenDetection(
        ElectraForMaskedLM(config.generator()),
        ElectraForPreTraining(config),
        Masking(mask_id=MASK, special_ids=SPECIAL),
        GeneratorSampler(),
        rtd_weight=RTD_WEIGHT,
    ).to(device)
    objective.train()
    (optimizer,) = adamw(objective, lr=RATE)
    random = torch.Generator().manual_seed(0)

    def step(ids: Tensor) -> float:
        with autocast(device, precision):
            losses = objective(PackedBatch.from_sequences(list(ids)), 1.0, random)
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        return float(losses.total.detach())

    return step


def _config(arguments: argparse.Namespace) -> ElectraConfig:
    return ElectraConfig.preset(
        arguments.size,
        hidden_dropout_prob=arguments.dropout,
        attention_probs_dropout_prob=arguments.dropout,
    )


def _theirs(config: ElectraConfig) -> transformers.ElectraConfig:
    values = config.to_dict()
    del values["model_type"]
    return transformers.ElectraConfig(**values)


def _batches(arguments: argparse.Namespace) -> list[Tensor]:
    """Random pieces: nothing to learn, but the same work."""
    random = torch.Generator().manual_seed(0)
    shape = (arguments.batch_size, arguments.length)
    vocab_size = _config(arguments).vocab_size
    batches = []
    for _ in range(arguments.warmup + arguments.steps):
        ids = torch.randint(FIRST_ORDINARY, vocab_size, shape, generator=random)
        ids[:, 0], ids[:, -1] = CLS, SEP
        batches.append(ids)
    return batches


def _measure(
    steps: dict[str, Step], batches: list[Tensor], arguments: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Pieces a second (median of the steps) and the mean loss, by name."""
    clock = CLOCKS[arguments.clock]
    times: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    for number, ids in enumerate(batches):
        for name, step in steps.items():
            started = clock()
            loss = step(ids)
            if number >= arguments.warmup:
                times[name].append(clock() - started)
                losses[name].append(loss)
    pieces = arguments.batch_size * arguments.length
    return {
        name: (pieces / statistics.median(times[name]), statistics.mean(losses[name]))
        for name in steps
    }


def print_profile(title: str, step: Step, ids: Tensor) -> None:
    """The operators in which a step spends most of its time, in milliseconds."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profiler:
        step(ids)
    found = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(found.values())
    print(f"\n{title}: {total / 1000:,.0f} ms")
    for name in sorted(found, key=lambda key: -found[key])[:OPERATORS]:
        print(f"{name:40}{found[name] / 1000:8.1f} ms {found[name] / total:6.1%}")


def _print_ratios(rows: list[dict]) -> None:
    for theirs in (row for row in rows if row["loop"] == "Transformers"):
        for mine in (row for row in rows if row["loop"] != "Transformers"):
            ratio = mine["speed"] / theirs["speed"]
            print(
                f"spacy-electra {mine['precision']} is {ratio:.2f} times "
                f"Transformers {theirs['precision']}"
            )


if __name__ == "__main__":
    main()
