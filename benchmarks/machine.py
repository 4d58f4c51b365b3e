"""What every measurement says of itself: the machine, and figures as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import srsly
import torch

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The processor, what of it is used, and the libraries that are measured."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Its name, and which instructions for bf16 it has."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    fast = [name for name in ("amx_bf16", "avx512_bf16") if name in flags.split()]
    return " ".join([(names or [platform.processor()])[0], *fast])


def in_turn(
    runs: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    before: Callable[[], Any] = bool,
    warmup: int = 1,
) -> dict[str, list[float]]:
    """Seconds of each run, round after round.

    All take part in each round, so that a slow spell of the machine strikes them alike;
    first rounds, which are not counted, warm them up.

    Args:
        runs: By name.
        rounds: How often each is timed.
        clock: Gives seconds.
        before: Called before each run, outside of its time.
        warmup: How many rounds come before those that count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warmup + rounds):
        for name, run in runs.items():
            before()
            started = clock()
            run()
            if turn >= warmup:
                seconds[name].append(clock() - started)
    return seconds


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def write_result(name: str, figures: dict[str, Any]) -> Path:
    """Write figures, with the machine that they are from, to ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    srsly.write_json(file, {"machine": machine(), **figures})
    return file
