"""The loop: batches in, checkpoints and a log of metrics out."""

from __future__ import annotations

import math
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from thinc.api import Config
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import Errors, Warnings
from ...files import locked, remove_partials, whole_file, whole_folder
from ...models.encoder import EncoderLayer
from ...models.precision import autocast
from ..batches import SequenceBatches
from ..building import build_objective, named_sampler
from ..corpus.shards import Shards
from ..evaluation.evaluation import evaluate, held_out_batches, metric_names
from ..objective import Losses
from ..optimizers import OPTIMIZERS, warmup_then_decay
from ..pairs import (
    CHECKPOINTS,
    FINAL,
    checkpoint_of,
    checkpoints,
)
from ..samplers import GeneratorSampler, Sampler
from ..settings import PretrainingSettings
from ..start.word_start import start_words
from .averaging import WeightAverage
from .checkpointing import (
    BrokenCheckpoint,
    Changes,
    Progress,
    RunState,
    changes_since,
    check_fits,
    check_space,
    explained,
    load_checkpoint,
    read_progress,
    save_checkpoint,
    save_networks,
)
from .distributed import Sharded, Workers, local_part, whole, without_exchange
from .health import Watcher
from .log import (
    COLUMNS,
    LOG,
    LogFile,
    Report,
    RunningMetrics,
    Tracker,
    is_better,
    open_trackers,
)
from .stop_request import RunStopped, StopRequest

CONFIG = "config.cfg"
_LOCK = "run.lock"
# Besides what is kept: the one being written, and the result.
_CHECKPOINTS_MORE = 2
# A checkpoint that can't be read keeps its files under another name.
_BROKEN = ".broken"


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
        changes: Settings that are not those of the checkpoint that the run resumed.
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
        self.changes = Changes([], [])
        self._broken: list[Path] = []
        # At least one batch a process.
        self.batches_per_step = workers.size * -(-training.accumulate // workers.size)

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
            report: Is given the metrics of each line of the log.
            on_step: Is called after each step.

        Returns:
            The folder of the result.

        Raises:
            FileExistsError: If the folder holds a run that this one does not resume.
            OSError: If the disk has no room for the run's checkpoints.
            RuntimeError: If another run works in the folder.
            FloatingPointError: If loss, gradient or weights stop being finite. There is
                no checkpoint of such weights.
            RunStopped: If the process was asked to stop (SIGINT, SIGTERM).
        """
        training = self.settings.training
        with self._alone(), self._trackers() as trackers, StopRequest() as stop:
            log = self._begin()
            watcher = Watcher(
                self.settings, self.batches.batches_per_epoch / self.batches_per_step
            )
            if self.workers.first:
                watcher.begin()
            self.objective.train()
            running = RunningMetrics(self.seconds)
            while self.progress < 1.0:
                started = time.perf_counter()
                tokens, losses = self.take_step()
                spent = time.perf_counter() - started
                stopped = self._advance(tokens, spent, stop.number)
                self.losses = losses
                running.add(tokens, self.seconds, losses)
                ended = self.progress >= 1.0
                evaluated = self.step % training.evaluate_every == 0 or ended
                saved = self.step % training.save_every == 0 or ended or bool(stopped)
                if evaluated or saved:
                    self._check_weights()
                metrics: dict[str, float] = {}
                if evaluated and (log is not None or self.sharded):
                    metrics = self.evaluate()
                reported = evaluated or self.step % training.report_every == 0
                if log is not None and reported:
                    missing = [n for n, v in metrics.items() if not math.isfinite(v)]
                    for name in missing:
                        del metrics[name]
                    row = {**running.row(self.reached, self.progress), **metrics}
                    log.append(row)
                    for tracker in trackers:
                        tracker.log(row)
                    report(row)
                    watcher.look_at(row)
                    watcher.look_at_missing(missing)
                    running = RunningMetrics(self.seconds)
                    self._note_best(row)
                if saved:
                    folder = self.save()
                on_step(self)
                if stopped and not ended:
                    raise RunStopped(stopped, self.step, folder)
            return self.finish()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the folder for this run."""
        self.output.mkdir(parents=True, exist_ok=True)
        if not self.workers.first:
            yield
            return
        # A lock of the operating system's: it ends with the process, killed or not.
        with locked(self.output / _LOCK, Errors.SE426(path=self.output)):
            for folder in (self.output, self.output / CHECKPOINTS):
                remove_partials(folder)
            yield

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
        if self.step == 0 and (self.output / FINAL).exists():
            raise FileExistsError(Errors.SE451(path=self.output))
        metrics = metric_names(self.evaluation_samplers, self.objective.detects)
        columns = [*COLUMNS, *metrics]
        if self.settings.best_by not in columns:
            raise ValueError(
                Errors.SE002(
                    name="training.best_by",
                    value=self.settings.best_by,
                    choices=", ".join(columns),
                )
            )
        if not self.workers.first:
            return None
        for broken in self._broken:
            broken.rename(broken.with_name(broken.name + _BROKEN))
        present = len(checkpoints(self.output))
        to_come = self.settings.training.keep + _CHECKPOINTS_MORE - present
        check_space(self.output, self.state, max(to_come, 1))
        with whole_file(self.output / CONFIG) as partial:
            Config(asdict(self.settings)).to_disk(partial)
        return LogFile(self.output / LOG, columns, self.step)

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
        first = self.step * self.batches_per_step
        numbers = range(first, first + self.batches_per_step)
        tokens = sum(self.batches.tokens(number) for number in numbers)
        mine = numbers[self.workers.rank :: size]
        stacked: Tensor | None = None
        for number in mine:
            share = self.batches.tokens(number) / tokens
            # Gradients travel once a step, after its last batch.
            last = number == mine[-1]
            with nullcontext() if last else without_exchange(self.wrapped):
                losses = self._losses(number)
                # Processes average their gradients, and the sum is what is wanted.
                (losses.total * share * size).backward()
            part = losses.stacked() * share
            stacked = part if stacked is None else stacked + part
        assert stacked is not None
        of_all = Losses.unstacked(self.workers.sum(stacked))
        limit = chosen.grad_clip or float("inf")
        norm = whole(torch.nn.utils.clip_grad_norm_(self.objective.parameters(), limit))
        if not bool(torch.isfinite(norm + of_all.total)):
            raise FloatingPointError(
                Errors.SE413(
                    step=self.step,
                    mlm=float(of_all.generator),
                    rtd=float(of_all.discriminator),
                    advice=self._advice(),
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

    def _advance(self, tokens: int, seconds: float, stopped: int) -> int:
        """Count a step.

        Returns:
            The signal that stops all processes, or 0.
        """
        # All processes go by the first one's clock, to end at the same step, and stop
        # where any of them was asked to.
        if self.workers.size > 1:
            spent = seconds if self.workers.first else 0.0
            both = torch.tensor([spent, float(stopped)], device=self.device)
            seconds, signals = self.workers.sum(both).tolist()
            stopped = stopped or (signal.SIGTERM if signals else 0)
        self.reached.step += 1
        self.reached.tokens += tokens
        self.reached.seconds += seconds
        self.speed = tokens / max(seconds, 1e-9)
        return int(stopped)

    @torch.no_grad()
    def _check_weights(self) -> None:
        """Refuse to keep what a step has ruined; all processes together.

        A step's own losses are those before its update, so they do not tell.
        """
        sound = torch.ones((), device=self.device)
        for parameter in self.objective.parameters():
            sound *= torch.isfinite(local_part(parameter)).all()
        last = (self.step - 1) * self.batches_per_step + self.workers.rank
        sound *= torch.isfinite(self._losses(last).total)
        if self.sharded:
            self.sharded.close()
        if int(self.workers.sum(sound)) < self.workers.size:
            raise FloatingPointError(
                Errors.SE445(step=self.step, advice=self._advice())
            )

    def _advice(self) -> str:
        """What to do when a run goes wrong, which depends on what there is."""
        found = checkpoints(self.output)
        if not found:
            return "There is no checkpoint yet: begin again with a lower learning rate."
        return (
            f"The checkpoint {found[-1].name} is from before that: go on with --resume "
            "and a lower learning rate."
        )

    def evaluate(self) -> dict[str, float]:
        """Metrics on the held-out text, by name; none where none is held out.

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
            facts=self._facts,
            writes=self.workers.first,
        )

    @property
    def _facts(self) -> dict[str, Any]:
        """What decides on the texts of a step, besides the settings."""
        corpus = self.shards.identity
        return {"corpus": corpus, "batches_a_step": self.batches_per_step}

    def resume(self, force: bool = False) -> bool:
        """Go on from the last checkpoint of the output folder that is whole.

        Args:
            force: Whether settings may change what is trained.

        Returns:
            Whether there was one.

        Raises:
            ValueError: If it has other sizes or another vocabulary, if settings change
                what is trained, or if no checkpoint can be read.
        """
        found = checkpoints(self.output)
        problems = []
        for folder in reversed(found):
            try:
                saved = read_progress(folder)
                self._check_changes(folder, saved, force)
                self.reached = load_checkpoint(folder, self.state, saved)
            except BrokenCheckpoint as error:
                problems.append(f"{folder.name}: {error}")
                self._broken.append(folder)
                continue
            if self.sharded:
                self.sharded.scatter()
            averaged = saved["settings"].get("training", {}).get("average")
            if self.average is not None and not averaged:
                self.average.restart()
            if problems and self.workers.first:
                told = "; ".join(problems)
                warnings.warn(
                    Warnings.SW442(problems=told, used=folder.name), stacklevel=2
                )
            return True
        if found:
            raise ValueError(
                Errors.SE447(path=self.output, problems="; ".join(problems))
            )
        return False

    def _check_changes(self, folder: Path, saved: dict[str, Any], force: bool) -> None:
        check_fits(folder, saved, self.settings, self.tokenizer)
        self.changes = changes_since(saved, self.settings, self._facts)
        if self.changes.trained and not force:
            changes = "; ".join(self.changes.trained)
            raise ValueError(Errors.SE446(folder=folder, changes=changes))

    def finish(self) -> Path:
        """Write the result: two checkpoint directories with their tokenizer."""
        folder = self.output / FINAL
        averaged = self.average.applied() if self.average else nullcontext()
        with averaged:
            if self.sharded:
                self.sharded.gather()
            if self.workers.first:
                try:
                    with whole_folder(folder) as partial:
                        save_networks(self.state.objective, partial, self.tokenizer)
                except OSError as error:
                    raise explained(error, folder) from error
        self.workers.wait()
        return folder
