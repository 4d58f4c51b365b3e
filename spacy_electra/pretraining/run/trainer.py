"""The loop: batches in, checkpoints and a log of figures out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout
from thinc.api import Config
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import Errors
from ...models.encoder import EncoderLayer
from ...models.precision import autocast
from ..batches import SequenceBatches
from ..building import build_objective, named_sampler
from ..corpus.shards import Shards
from ..evaluation.evaluation import evaluate, figure_names, held_out_batches
from ..objective import Losses
from ..optimizers import OPTIMIZERS, warmup_then_decay
from ..pairs import (
    FINAL,
    checkpoint_of,
    checkpoints,
)
from ..samplers import GeneratorSampler, Sampler
from ..settings import PretrainingSettings
from ..start.word_start import start_words
from .averaging import WeightAverage
from .checkpointing import (
    Progress,
    RunState,
    check_space,
    load_checkpoint,
    save_checkpoint,
    save_networks,
    whole_folder,
)
from .distributed import Sharded, Workers, whole, without_exchange
from .health import Watcher
from .log import (
    COLUMNS,
    LOG,
    LogFile,
    Report,
    RunningFigures,
    Tracker,
    is_better,
    open_trackers,
)

CONFIG = "config.cfg"
_LOCK = "run.lock"
# Besides what is kept: the one being written, and the result.
_CHECKPOINTS_MORE = 2


class Trainer:
    """Pretrains generator and discriminator.

    Every random decision of step k depends on the seed and k alone, so a run that was
    killed goes on from its last checkpoint as if nothing had happened. Batch b of step
    k, of the B batches that a step accumulates over all processes, is number k B + b:
    several processes do what one does.

    Args:
        settings: What to do.
        output: Folder for checkpoints, log and result.
        device: Where to train.
        workers: This process among others.

    Attributes:
        losses: What the last step gave.
        speed: Its pieces a second.
    """

    def __init__(
        self,
        settings: PretrainingSettings,
        output: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        workers: Workers = Workers(),
    ) -> None:
        self.settings = settings
        self.output = Path(output)
        self.device = torch.device(device)
        self.workers = workers
        training = settings.training
        torch.manual_seed(training.seed)
        shards = self.shards = Shards.open(settings.data.shards)
        self.tokenizer = shards.tokenizer
        self.batches = SequenceBatches.from_shards(
            shards,
            length=settings.data.length,
            batch_size=settings.data.batch_size,
            batch_tokens=settings.data.batch_tokens,
            short_share=settings.data.short_share,
            seed=training.seed,
        )
        self.objective = build_objective(settings, shards)
        # What a resumed run finds in its checkpoint need not be counted again.
        if self._starts_words and not checkpoints(self.output):
            start_words(self.objective, shards)
        self.objective.to(self.device)
        if training.compile:
            self._compile()
        self.sharded: Sharded | None = None
        if training.parallel == "fsdp" and workers.size > 1:
            self.sharded = Sharded(self.objective, workers.size)
            self.wrapped: nn.Module = self.objective
        else:
            self.wrapped = workers.wrap(self.objective)
        self.evaluation_batches = held_out_batches(
            shards.held_out,
            self.tokenizer,
            length=settings.data.length,
            sequences=training.evaluate_sequences,
        )
        self.evaluation_samplers: dict[str, Sampler] = {
            "generator": GeneratorSampler(),
            **{
                name: named_sampler(
                    name,
                    settings.sampler,
                    torch.from_numpy(shards.counts),
                    self.tokenizer,
                )
                for name in ("unigram", "frequency")
            },
        }
        self.optimizers = self._optimizers()
        self.base_rates = [
            [group["lr"] for group in optimizer.param_groups]
            for optimizer in self.optimizers
        ]
        self.average: WeightAverage | None = None
        if training.average:
            self.average = WeightAverage(self.objective, training.average)
        self.reached = Progress()
        self.losses: Losses | None = None
        self.speed = 0.0
        # At least one batch a process.
        self.batches_a_step = workers.size * -(-training.accumulate // workers.size)

    def _optimizers(self) -> list[Optimizer]:
        chosen = self.settings.optimizer
        more = {"layer_decay": chosen.layer_decay}
        if chosen.name == "muon":
            more = {"muon_lr": chosen.muon_learn_rate}
        return OPTIMIZERS[chosen.name](
            self.objective,
            lr=chosen.learn_rate,
            weight_decay=chosen.weight_decay,
            **more,
        )

    def _compile(self) -> None:
        """Compile what sees rows alone: attention's shapes change with each batch."""
        for network in (self.objective.generator, self.objective.discriminator):
            for layer in network.electra.encoder.layers:
                assert isinstance(layer, EncoderLayer)
                layer.feed_forward.compile(dynamic=True)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.reached.step

    @property
    def tokens(self) -> int:
        """Pieces seen."""
        return self.reached.tokens

    @property
    def seconds(self) -> float:
        """Time spent in steps."""
        return self.reached.seconds

    @property
    def progress(self) -> float:
        """How much of the budget is used up, 0 to 1."""
        reached = self.reached
        return self.settings.training.progress(
            reached.step, reached.tokens, reached.seconds
        )

    @property
    def state(self) -> RunState:
        """All that a checkpoint has to hold."""
        objective = self.sharded.plain if self.sharded else self.objective
        return RunState(objective, self.optimizers, self.average)

    def train(
        self,
        report: Report = lambda row: None,
        on_step: Callable[[Trainer], None] = lambda trainer: None,
    ) -> Path:
        """Train until the budget is used up.

        Args:
            report: Is given the figures of each line of the log.
            on_step: Is called after each step.

        Returns:
            The folder of the result.

        Raises:
            FileExistsError: If the folder holds a run that this one does not resume.
            OSError: If the disk has no room for the run's checkpoints.
            RuntimeError: If another run works in the folder.
        """
        training = self.settings.training
        with self._alone(), self._trackers() as trackers:
            log = self._begin()
            watcher = Watcher(
                self.settings, self.batches.batches_per_epoch / self.batches_a_step
            )
            if self.workers.first:
                watcher.begin()
            self.objective.train()
            running = RunningFigures(self.seconds)
            while self.progress < 1.0:
                started = time.perf_counter()
                tokens, losses = self.take_step()
                self._advance(tokens, time.perf_counter() - started)
                self.losses = losses
                running.add(tokens, self.seconds, losses)
                ended = self.progress >= 1.0
                evaluated = self.step % training.evaluate_every == 0 or ended
                figures: dict[str, float] = {}
                if evaluated and (log is not None or self.sharded):
                    figures = self.evaluate()
                reported = evaluated or self.step % training.report_every == 0
                if log is not None and reported:
                    row = {**running.row(self.reached, self.progress), **figures}
                    log.append(row)
                    for tracker in trackers:
                        tracker.log(row)
                    report(row)
                    watcher.look_at(row)
                    running = RunningFigures(self.seconds)
                    self._note_best(row)
                if self.step % training.save_every == 0 or ended:
                    self.save()
                on_step(self)
            return self.finish()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the folder for this run."""
        self.output.mkdir(parents=True, exist_ok=True)
        if not self.workers.first:
            yield
            return
        # A lock of the operating system's: it ends with the process, killed or not.
        lock = FileLock(self.output / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(Errors.SE426(path=self.output)) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _trackers(self) -> Iterator[list[Tracker]]:
        names = self.settings.training.trackers if self.workers.first else ()
        opened = open_trackers(names, self.output, self.settings)
        try:
            yield opened
        finally:
            for tracker in opened:
                tracker.close()

    def _begin(self) -> LogFile | None:
        """Do what comes before the first step, or before the next one."""
        if self.step == 0 and checkpoints(self.output):
            raise FileExistsError(Errors.SE427(path=self.output))
        figures = figure_names(self.evaluation_samplers, self.objective.detects)
        if not self.workers.first:
            return None
        present = len(checkpoints(self.output))
        to_come = self.settings.training.keep + _CHECKPOINTS_MORE - present
        check_space(self.output, self.state, max(to_come, 1))
        Config(asdict(self.settings)).to_disk(self.output / CONFIG)
        return LogFile(self.output / LOG, [*COLUMNS, *figures], self.step)

    @property
    def _starts_words(self) -> bool:
        model = self.settings.model
        return model.words == "cooccurrence" and not model.init_from

    def take_step(self) -> tuple[int, Losses]:
        """One step: forward, backward, update.

        Returns:
            Number of pieces, and the losses, both of all processes.

        Raises:
            FloatingPointError: If a loss or gradient is not finite.
        """
        chosen, size = self.settings.optimizer, self.workers.size
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        # Batches have numbers: those of a step follow each other, and each process
        # takes every ``size``-th. A batch weighs by its pieces.
        first = self.step * self.batches_a_step
        numbers = range(first, first + self.batches_a_step)
        tokens = sum(self.batches.tokens(number) for number in numbers)
        mine = numbers[self.workers.rank :: size]
        figures: Tensor | None = None
        for number in mine:
            share = self.batches.tokens(number) / tokens
            # Gradients travel once a step, after its last batch.
            last = number == mine[-1]
            with nullcontext() if last else without_exchange(self.wrapped):
                losses = self._losses(number)
                # Processes average their gradients, and the sum is what is wanted.
                (losses.total * share * size).backward()
            part = losses.stacked() * share
            figures = part if figures is None else figures + part
        assert figures is not None
        of_all = Losses.unstacked(self.workers.sum(figures))
        limit = chosen.grad_clip or float("inf")
        norm = whole(torch.nn.utils.clip_grad_norm_(self.objective.parameters(), limit))
        if not bool(torch.isfinite(norm + of_all.total)):
            raise FloatingPointError(
                Errors.SE413(
                    step=self.step,
                    mlm=float(of_all.generator),
                    rtd=float(of_all.discriminator),
                )
            )
        factor = warmup_then_decay(self.progress, self.step, chosen.warmup_steps)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()
        if self.average is not None:
            self.average.update()
        return tokens, of_all

    def _losses(self, number: int) -> Losses:
        """Losses of a batch by its number, which decides on all that is random."""
        training = self.settings.training
        key = (training.seed << 32) + number
        random = torch.Generator().manual_seed(key)
        # Dropout draws from the global one.
        torch.manual_seed(key)
        with autocast(self.device, training.precision):
            return cast(
                Losses, self.wrapped(self.batches[number], self.progress, random)
            )

    def _advance(self, tokens: int, seconds: float) -> None:
        # All processes go by the first one's clock, to end at the same step.
        if self.workers.size > 1:
            spent = torch.tensor(seconds if self.workers.first else 0.0)
            seconds = float(self.workers.sum(spent.to(self.device)))
        self.reached.step += 1
        self.reached.tokens += tokens
        self.reached.seconds += seconds
        self.speed = tokens / max(seconds, 1e-9)

    def evaluate(self) -> dict[str, float]:
        """Figures on the held-out text, by name; none where none is held out.

        Where weights are divided, all processes have to come here together.
        """
        if not self.evaluation_batches:
            return {}
        averaged = self.average.applied() if self.average else nullcontext()
        opened = self.sharded.opened() if self.sharded else nullcontext()
        precision = self.settings.training.precision
        with averaged, opened, autocast(self.device, precision):
            return evaluate(
                self.objective, self.evaluation_batches, self.evaluation_samplers
            ).flat()

    def _note_best(self, row: dict[str, Any]) -> None:
        """Keep in mind the best step of which there will be a checkpoint."""
        name = self.settings.best_by
        saved = self.step % self.settings.training.save_every == 0
        if name in row and (saved or self.progress >= 1.0):
            value, best = row[name], self.reached.best
            if not best or is_better(name, value, best["value"]):
                self.reached.best = {"step": self.step, "value": value}

    def save(self) -> Path:
        """Write a checkpoint; a crash on the way leaves the one before it whole.

        All processes come here, and the first one writes.
        """
        folder = checkpoint_of(self.output, self.step)
        if self.sharded:
            self.sharded.gather()
        elif not self.workers.first:
            return folder
        return save_checkpoint(
            self.output,
            self.state,
            self.reached,
            self.settings,
            self.tokenizer,
            writes=self.workers.first,
        )

    def resume(self) -> bool:
        """Go on from the last checkpoint of the output folder.

        Returns:
            Whether there was one.

        Raises:
            ValueError: If it has other sizes or another vocabulary.
        """
        found = checkpoints(self.output)
        if not found:
            return False
        self.reached = load_checkpoint(
            found[-1], self.state, self.settings, self.tokenizer
        )
        if self.sharded:
            self.sharded.scatter()
        return True

    def finish(self) -> Path:
        """Write the result: two checkpoint directories with their tokenizer."""
        folder = self.output / FINAL
        averaged = self.average.applied() if self.average else nullcontext()
        with averaged:
            if self.sharded:
                self.sharded.gather()
            if self.workers.first:
                with whole_folder(folder) as partial:
                    save_networks(self.state.objective, partial, self.tokenizer)
        self.workers.wait()
        return folder
