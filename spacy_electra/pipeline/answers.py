"""From logits of places to answers, and from gold answers to a loss."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from thinc.util import to_numpy

from ..layers.units import PlaceOutputs
from ..tokenization.alignment import Integers
from .questions import Characters

Floats = NDArray[np.float64]
# Most answers of which the first look makes sure; each further look has more.
_FIRST_LOOK = 16
# A target that does not count.
_UNCOUNTED = -1


def find_answers(
    outputs: PlaceOutputs,
    longest: int,
    count: int,
    key: Callable[[int, int], Hashable],
) -> tuple[list[Characters], float]:
    """The best answers to one question about a text.

    An answer counts for as much as the logit of its first piece as a beginning and that
    of its last as an end. "There is no answer" counts for as much as those of a
    window's [CLS], of the window where that is least, as in SQuAD 2.0. The probability
    of an answer is that of its beginning times that of its end, each among all pieces
    and this [CLS].

    Args:
        outputs: With the two logits of each place.
        longest: Most pieces of an answer.
        count: Most answers.
        key: Of first character and the one after the last: what two answers must
            differ in.

    Returns:
        Answers with their probabilities, best first, and by how much "there is no
        answer" exceeds the best of them: infinity where the text has no piece.
    """
    values = _values(outputs)
    starts, ends = values[outputs.piece_rows].T
    if not len(starts):
        return [], float("inf")
    nulls = values[outputs.cls_rows]
    null = nulls[nulls.sum(axis=1).argmin()]
    total = _log_sum(starts, null[0]) + _log_sum(ends, null[1])
    offsets = outputs.pieces.offsets
    best = -np.inf
    found: dict[Hashable, Characters] = {}
    for first, last, logit in best_spans(starts, ends, longest):
        best = max(best, logit)
        start, end = int(offsets[first, 0]), int(offsets[last, 1])
        probability = float(np.exp(logit - total))
        found.setdefault(key(start, end), (start, end, probability))
        if len(found) == count:
            break
    return list(found.values()), float(null.sum() - best)


def best_spans(
    starts: Floats, ends: Floats, longest: int
) -> Iterator[tuple[int, int, float]]:
    """Spans of pieces, first and last, with their logits, best first; in the end all.

    Args:
        starts: Logit of each piece as the first of a span, [n], finite.
        ends: Logit of each as the last, [n], finite.
        longest: Most pieces of a span.
    """
    size = len(starts)
    # Row i has the spans of i + 1 pieces.
    table = np.full((min(longest, size), size), -np.inf)
    for further, row in enumerate(table):
        row[: size - further] = starts[: size - further] + ends[further:]
    logits = table.ravel()
    total = int(np.isfinite(logits).sum())
    given = 0
    while given < total:
        # Mostly a few are wanted, and to sort all takes longer than to find them.
        look = min(max(_FIRST_LOOK, 4 * given), total)
        least = np.partition(logits, -look)[-look]
        chosen = np.flatnonzero(logits >= least)
        more, first = np.divmod(chosen, size)
        order = np.lexsort((more, first, -logits[chosen]))[given:]
        for i in order.tolist():
            yield int(first[i]), int(first[i] + more[i]), float(logits[chosen[i]])
        given = len(chosen)


def answer_loss(
    outputs: Sequence[PlaceOutputs], gold: Sequence[Sequence[Characters] | None]
) -> tuple[float, list[NDArray[np.float32]]]:
    """The mean of two cross-entropies, of where answers begin and of where they end.

    Each window is told by itself, over its [CLS] and the pieces that are read in it,
    as SQuAD's training does. One that reads the beginning of the answer learns it, one
    that reads the end learns that, and one in which the answer does not stand learns
    its [CLS]. One that sees the whole answer, which is read in another, counts for
    nothing, and neither does one in the middle of a long answer.

    Args:
        outputs: Of each question, with the two logits of each place.
        gold: The answers to each; the first counts. None at all where there is no
            answer, and None where it is not known: then the question counts for
            nothing.

    Returns:
        The loss in nats, and its gradient with respect to the values of each output.
    """
    if not outputs:
        return 0.0, []
    values = np.concatenate([_values(each) for each in outputs])
    sizes = np.concatenate([each.window_sizes for each in outputs])
    ends = np.cumsum([each.window_sizes.sum() for each in outputs])
    begins = [0, *ends[:-1].tolist()]
    targets = np.concatenate(
        [
            np.where(own == _UNCOUNTED, own, own + begin)
            for own, begin in zip(map(targets_of, outputs, gold), begins, strict=True)
        ]
    )
    sides = [window_cross_entropy(values[:, i], sizes, targets[:, i]) for i in (0, 1)]
    loss = sum(loss for loss, _ in sides) / 2
    gradient = np.stack([gradient for _, gradient in sides], axis=1) / 2
    return loss, np.split(gradient.astype(np.float32), ends[:-1])


def targets_of(outputs: PlaceOutputs, gold: Sequence[Characters] | None) -> Integers:
    """Row of the place that each window is to find, for beginning and end, [W, 2].

    It is -1 where the window counts for nothing. Arguments as in ``answer_loss``, of
    one question.
    """
    targets = np.stack([outputs.cls_rows, outputs.cls_rows], axis=1)
    if not gold:
        return targets if gold is not None else np.full_like(targets, _UNCOUNTED)
    start, end, _ = gold[0]
    offsets = outputs.pieces.offsets
    first = int(np.searchsorted(offsets[:, 1], start, side="right"))
    last = int(np.searchsorted(offsets[:, 0], end, side="left")) - 1
    if first > last:
        # White space, of which there are no pieces.
        return np.full_like(targets, _UNCOUNTED)
    rows = outputs.piece_rows[[first, last]]
    windows = np.searchsorted(outputs.cls_rows, rows, side="right") - 1
    numbers = np.arange(len(targets))
    sees_all = (outputs.seen[:, 0] <= first) & (last < outputs.seen[:, 1])
    is_inside = (windows[0] <= numbers) & (numbers <= windows[1])
    targets[sees_all | is_inside] = _UNCOUNTED
    targets[windows, [0, 1]] = rows
    return targets


def window_cross_entropy(
    logits: Floats, sizes: Integers, targets: Integers
) -> tuple[float, Floats]:
    """Cross-entropy within windows of different sizes, the mean over those that count.

    Args:
        logits: Of all windows, end to end, [T].
        sizes: Of each, at least 1, int64 [W].
        targets: Row of each window's target in ``logits``, -1 where it does not count.

    Returns:
        The loss in nats, and its gradient, [T].
    """
    window = np.repeat(np.arange(len(sizes)), sizes)
    begins = np.cumsum(sizes) - sizes
    counted = targets != _UNCOUNTED
    weights = counted / max(counted.sum(), 1)
    shifted = logits - np.maximum.reduceat(logits, begins)[window]
    totals = np.add.reduceat(np.exp(shifted), begins)
    logs = shifted - np.log(totals)[window]
    gradient = np.exp(logs) * weights[window]
    gradient[targets[counted]] -= weights[counted]
    return float(-(logs[targets[counted]] * weights[counted]).sum()), gradient


def _values(outputs: PlaceOutputs) -> Floats:
    return np.asarray(to_numpy(outputs.values), dtype=np.float64)


def _log_sum(logits: Floats, other: float) -> float:
    return float(np.logaddexp.reduce(np.append(logits, other)))
