"""Attention weights of spans, put together from those of their windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..tokenization.windows import Windows
from .layout import SpanTable


def attention_of_spans(
    weights: Sequence[Tensor],
    windows: Windows,
    table: SpanTable,
    spans: range,
    width: int,
) -> Tensor:
    """Attention weights of some spans in one layer.

    Where a span runs in several windows, the row of each piece is that of the window
    which its state comes from: zeros for what that window does not show.

    Args:
        weights: Of each window, in the order of ``windows.lengths``, float
            [heads, s, s] with s at least its length.
        windows: Over all spans.
        table: Which row the state of each piece comes from.
        spans: Numbers of the spans.
        width: At least the length of the longest of them.

    Returns:
        Of these spans, float32 [spans, heads, width, width], where ``weights`` are.
    """
    heads = weights[0].shape[0] if weights else 0
    device = weights[0].device if weights else None
    padded = torch.zeros((len(spans), heads, width, width), device=device)
    row_ends = table.lengths.cumsum()
    window_ends = windows.windows_per_text.cumsum()
    begins = windows.lengths.cumsum() - windows.lengths
    for whole, span in zip(padded, spans, strict=True):
        length = int(table.lengths[span])
        rows = table.rows[row_ends[span] - length : row_ends[span]]
        count = int(windows.windows_per_text[span])
        for window in range(window_ends[span] - count, window_ends[span]):
            head = windows.cls_rows[window]
            place = np.searchsorted(begins, head)
            size = int(windows.lengths[place])
            own = np.flatnonzero((rows >= head) & (rows < head + size))
            columns = np.arange(size) + windows.starts[window]
            columns[0], columns[-1] = 0, length - 1
            part = weights[place][:, rows[own] - head, :size]
            whole[:, own[:, None], columns] = part.float()
    return padded
