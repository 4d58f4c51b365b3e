"""A picture of a run: what its log says, over the tokens it has seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import Errors
from ...extras import import_extra
from ...files import whole_file
from .log import LOG, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
Points = list[tuple[float, float]]
_WIDTH, _HEIGHT, _DOTS_PER_INCH = 11.0, 4.0, 150
_AUC = "auc_"
_KINDS = ("png", "svg", "pdf", "jpg", "webp")


def draw_curves(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    title: str | None = None,
) -> Path:
    """Draw MLM loss and RTD AUC over tokens.

    Args:
        run: Folder of a run, or its log.
        output: The picture; its ending says of what kind (.png, .svg, .pdf).
        title: Stands above it.

    Returns:
        The picture's path.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If the log has no line yet or is none, or the picture's kind is
            unknown.
        ImportError: If matplotlib is not installed.
    """
    matplotlib = import_extra("matplotlib.figure", "Pictures", "plots")
    rows = read_rows(run)
    path = Path(output)
    kind = path.suffix.removeprefix(".")
    if kind not in _KINDS:
        raise ValueError(
            Errors.SE002(
                name="kind of picture", value=path.name, choices=", ".join(_KINDS)
            )
        )
    figure = matplotlib.Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    losses, areas = figure.subplots(1, 2)
    _draw(losses, "train", points(rows, "train_mlm"), faint=True)
    _draw(losses, "held out", points(rows, "mlm_loss"))
    losses.set(ylabel="MLM loss (nats)", title="Generator")
    for column in auc_columns(rows):
        label = f"{column.removeprefix(_AUC)} samples"
        _draw(areas, label, points(rows, column))
    areas.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    areas.set(ylabel="AUC, held out", title="Discriminator", ylim=(0.4, 1.0))
    for axes in (losses, areas):
        axes.set_xlabel("million tokens")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    if title:
        # Between dollars would be a formula.
        figure.suptitle(title.replace("$", r"\$"))
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=_DOTS_PER_INCH, format=kind)
    return path


def read_rows(run: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The rows of a run's log.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If it has no line yet.
    """
    file = Path(run)
    file = file / LOG if file.is_dir() else file
    if not file.exists():
        raise FileNotFoundError(Errors.SE415(path=file))
    rows = read_log(file)
    if not rows:
        raise ValueError(Errors.SE416(path=file))
    return rows


def points(rows: list[dict[str, str]], column: str) -> Points:
    """A column over tokens, in millions, where it is not empty.

    Raises:
        ValueError: If there is something else than a number.
    """
    try:
        return [
            (int(row["tokens"]) / 1e6, float(row[column]))
            for row in rows
            if row.get(column)
        ]
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(Errors.SE455(path=LOG, error=error)) from error


def auc_columns(rows: list[dict[str, str]]) -> list[str]:
    """The columns with an AUC, one a sampler."""
    return [name for name in rows[0] if name.startswith(_AUC)]


def _draw(axes: Axes, label: str, curve: Points, faint: bool = False) -> None:
    if curve:
        tokens, values = zip(*curve, strict=True)
        alpha, marker = (0.5, "") if faint else (1.0, ".")
        axes.plot(tokens, values, label=label, alpha=alpha, marker=marker)
