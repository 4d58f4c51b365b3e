"""The loop: batches in, checkpoints and a log of figures out."""

from __future__ import annotations

import csv
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from ..errors import Errors
from ..models import ElectraForMaskedLM, ElectraForPreTraining
from ..models.heads.masked_lm import MaskedLMHead
from ..models.precision import autocast
from .batches import SequenceBatches
from .evaluation import evaluate, held_out_batches
from .local_start import apply_local_start
from .masking import Masking
from .objective import Losses, ReplacedTokenDetection
from .optimizers import OPTIMIZERS, warmup_then_decay
from .sampler import GeneratorSampler, Sampler
from .settings import PretrainingSettings
from .shards import Shards
from .word_start import word_vectors

CHECKPOINTS, FINAL, LOG = "checkpoints", "final", "log.csv"
DISCRIMINATOR, GENERATOR = "discriminator", "generator"
STATE, PROGRESS = "optimizers.pt", "progress.json"
LANGUAGE_HEAD = "language_head.safetensors"


class Trainer:
    """Pretrains generator and discriminator.

    Every random decision of step k depends on the seed and k alone, so a run that was
    killed goes on from its last checkpoint as if nothing had happened.

    Args:
        settings: What to do.
        output: Folder for checkpoints, log and result.
        device: Where to train.
    """

    def __init__(
        self,
        settings: PretrainingSettings,
        output: str | os.PathLike[str],
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings = settings
        self.output = Path(output)
        self.device = torch.device(device)
        training = settings.training
        torch.manual_seed(training.seed)
        shards = self.shards = Shards.open(settings.data.shards)
        self.tokenizer = shards.tokenizer
        self.batches = SequenceBatches.from_shards(
            shards,
            length=settings.data.length,
            batch_size=settings.data.batch_size,
            seed=training.seed,
        )
        self.objective = self._objective(shards)
        self.evaluation_batches = held_out_batches(
            shards.held_out,
            self.tokenizer,
            length=settings.data.length,
            sequences=training.evaluate_sequences,
        )
        self.evaluation_samplers: dict[str, Sampler] = {
            "generator": GeneratorSampler(),
            **{
                name: settings.sampler.part(
                    name, torch.from_numpy(shards.counts), self.tokenizer
                )
                for name in ("unigram", "frequency")
            },
        }
        self.optimizers = self._optimizers()
        self.base_rates = [
            [group["lr"] for group in optimizer.param_groups]
            for optimizer in self.optimizers
        ]
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def _objective(self, shards: Shards) -> ReplacedTokenDetection:
        settings, tokenizer = self.settings, self.tokenizer
        generator_config, discriminator_config = settings.model.configs(
            tokenizer.vocab_size
        )
        generator = ElectraForMaskedLM(generator_config)
        discriminator = ElectraForPreTraining(discriminator_config)
        if settings.model.init == "local":
            for encoder in (generator.electra, discriminator.electra):
                apply_local_start(
                    encoder,
                    offsets=tuple(settings.model.local_offsets),
                    layers=settings.model.local_layers,
                )
        masking = Masking(
            mask_id=tokenizer.mask_token_id,
            special_ids=tuple(tokenizer.all_special_ids),
            share=settings.objective.mask_share,
            share_masked=settings.objective.mask_replaced,
        )
        counts = torch.from_numpy(shards.counts).clone()
        counts[list(tokenizer.all_special_ids)] = 0
        sampler = settings.sampler.build(counts, tokenizer)
        return ReplacedTokenDetection(
            generator,
            discriminator,
            masking,
            sampler,
            rtd_weight=settings.objective.rtd_weight,
            mlm_warmup=settings.objective.mlm_warmup,
            correction_weight=settings.objective.correction_weight,
        ).to(self.device)

    def _optimizers(self) -> list[Optimizer]:
        chosen = self.settings.optimizer
        more = {"muon_lr": chosen.muon_learn_rate} if chosen.name == "muon" else {}
        return OPTIMIZERS[chosen.name](self.objective, lr=chosen.learn_rate, **more)

    @property
    def progress(self) -> float:
        """How much of the budget is used up, 0 to 1."""
        training = self.settings.training
        shares = [0.0]
        if training.max_steps:
            shares.append(self.step / training.max_steps)
        if training.max_minutes:
            shares.append(self.seconds / 60 / training.max_minutes)
        return min(1.0, max(shares))

    def train(
        self, report: Callable[[dict[str, Any]], None] = lambda row: None
    ) -> Path:
        """Train until the budget is used up.

        Args:
            report: Is given the figures of each line of the log.

        Returns:
            The folder of the result.
        """
        training = self.settings.training
        self.output.mkdir(parents=True, exist_ok=True)
        if self.step == 0 and self.settings.model.words == "cooccurrence":
            self._start_words()
        self.objective.train()
        running: dict[str, float] = {}
        since = 0
        while self.progress < 1.0:
            started = time.perf_counter()
            tokens, losses = self.take_step()
            elapsed = time.perf_counter() - started
            self.seconds += elapsed
            self.tokens += tokens
            self.step += 1
            since += 1
            figures = {"seconds_since": elapsed, "tokens_since": float(tokens)}
            for name in ("mlm", "rtd", "mlm_correct", "replaced", "same"):
                figures[name] = float(getattr(losses, name))
            for name, value in figures.items():
                running[name] = running.get(name, 0.0) + value
            ended = self.progress >= 1.0
            if self.step % training.report_every == 0 or ended:
                row = self._row(running, since)
                if self.step % training.evaluate_every == 0 or ended:
                    row.update(self.evaluate())
                self._log(row)
                report(row)
                running, since = {}, 0
            if self.step % training.save_every == 0 or ended:
                self.save()
        return self.finish()

    def _start_words(self) -> None:
        """Give embeddings and output biases what counting can tell."""
        embeddings = self.objective.discriminator.electra.embeddings.word_embeddings
        vocab_size, width = embeddings.weight.shape
        vectors = word_vectors(self.shards.ids, vocab_size, width)
        counts = torch.from_numpy(self.shards.counts).float() + 1.0
        known = vectors.any(dim=1).to(self.device)
        heads = [self.objective.generator.head, self.objective.language_head]
        with torch.no_grad():
            embeddings.weight[known] = vectors.to(self.device)[known]
            for head in heads:
                if head is not None:
                    head.decoder.bias.copy_((counts / counts.sum()).log())

    def take_step(self) -> tuple[int, Losses]:
        """One step: forward, backward, update.

        Returns:
            Number of pieces, and the losses.

        Raises:
            FloatingPointError: If a loss or gradient is not finite.
        """
        settings = self.settings
        batch = self.batches[self.step]
        key = (settings.training.seed << 32) + self.step
        random = torch.Generator().manual_seed(key)
        torch.manual_seed(key)
        with autocast(self.device, settings.training.precision):
            losses = self.objective(batch, self.progress, random)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        limit = settings.optimizer.grad_clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), limit)
        if not bool(torch.isfinite(norm + losses.total.detach())):
            raise FloatingPointError(
                Errors.SE413(step=self.step, mlm=losses.mlm, rtd=losses.rtd)
            )
        factor = warmup_then_decay(
            self.progress, self.step, settings.optimizer.warmup_steps
        )
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()
        return len(batch.input_ids), losses

    def evaluate(self) -> dict[str, float]:
        """Figures on the held-out text, by name."""
        with autocast(self.device, self.settings.training.precision):
            return evaluate(
                self.objective, self.evaluation_batches, self.evaluation_samplers
            ).flat()

    def _row(self, running: dict[str, float], steps: int) -> dict[str, Any]:
        sums = dict(running)
        seconds, tokens = sums.pop("seconds_since"), sums.pop("tokens_since")
        return {
            "step": self.step,
            "tokens": self.tokens,
            "minutes": round(self.seconds / 60, 3),
            "progress": round(self.progress, 5),
            "tokens_per_second": round(tokens / seconds),
            **{
                f"train_{name}": round(value / steps, 5) for name, value in sums.items()
            },
        }

    def _log(self, row: dict[str, Any]) -> None:
        """Add a line to the log; columns of an evaluation are empty in between."""
        file = self.output / LOG
        rows = _read_log(file)
        rows = [line for line in rows if int(line["step"]) < row["step"]] + [row]
        columns = list(dict.fromkeys(name for line in rows for name in line))
        with file.with_suffix(".part").open("w", newline="", encoding="utf8") as lines:
            writer = csv.DictWriter(lines, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(file.with_suffix(".part"), file)

    def save(self) -> Path:
        """Write a checkpoint; a crash on the way leaves the one before it whole."""
        folder = self.output / CHECKPOINTS / f"step-{self.step:08d}"
        partial = folder.with_name(folder.name + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        self._save_models(partial)
        if (head := self.objective.language_head) is not None:
            save_file(_untied(head), partial / LANGUAGE_HEAD)
        torch.save(
            [optimizer.state_dict() for optimizer in self.optimizers], partial / STATE
        )
        srsly.write_json(
            partial / PROGRESS,
            {
                "step": self.step,
                "tokens": self.tokens,
                "seconds": self.seconds,
                "settings": asdict(self.settings),
            },
        )
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        for old in checkpoints(self.output)[: -self.settings.training.keep]:
            shutil.rmtree(old)
        return folder

    def _save_models(self, folder: Path) -> None:
        self.objective.discriminator.save_pretrained(folder / DISCRIMINATOR)
        self.objective.generator.save_pretrained(folder / GENERATOR)

    def resume(self) -> bool:
        """Go on from the last checkpoint of the output folder.

        Returns:
            Whether there was one.
        """
        found = checkpoints(self.output)
        if not found:
            return False
        folder = found[-1]
        for network, name in (
            (self.objective.discriminator, DISCRIMINATOR),
            (self.objective.generator, GENERATOR),
        ):
            saved = type(network).from_pretrained(folder / name)
            network.load_state_dict(saved.state_dict())
        if (head := self.objective.language_head) is not None:
            head.load_state_dict(load_file(folder / LANGUAGE_HEAD), strict=False)
        states = torch.load(folder / STATE, map_location=self.device, weights_only=True)
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        progress = srsly.read_json(folder / PROGRESS)
        self.step = progress["step"]
        self.tokens = progress["tokens"]
        self.seconds = progress["seconds"]
        return True

    def finish(self) -> Path:
        """Write the result: two checkpoint directories with their tokenizer."""
        folder = self.output / FINAL
        self._save_models(folder)
        for name in (DISCRIMINATOR, GENERATOR):
            self.tokenizer.save_pretrained(folder / name)
        return folder


def checkpoints(output: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folders = (output / CHECKPOINTS).glob("step-*")
    return sorted(folder for folder in folders if folder.suffix != ".part")


def _untied(head: MaskedLMHead) -> dict[str, Tensor]:
    """The head's weights but the word embeddings, which the networks hold."""
    return {
        name: value
        for name, value in head.state_dict().items()
        if name != "decoder.weight"
    }


def _read_log(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf8") as lines:
        return list(csv.DictReader(lines))
