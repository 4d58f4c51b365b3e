"""Which attention is faster on a CPU: the fused kernel or explicit matrix products.

Both work on sequences of one length, as packed batches have them. The figures decide
where `spacy_electra.models.attention` changes from one to the other. A second table has
the softmax of scores in bf16 by itself: torch's, and by way of fp32 in chunks.

    python benchmarks/attention.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import typer
from machine import in_turn, median, write_result
from torch import Tensor
from wasabi import msg

from spacy_electra.models.attention import explicit_attention, softmax_by_chunks

LENGTHS = (8, 16, 32, 64, 128, 192, 256, 384, 512)
SOFTMAX_LENGTHS = (10, 16, 20, 28, 32, 50, 64, 100, 127, 128)


def inputs(
    tokens: int, length: int, heads: int, width: int, dtype: torch.dtype
) -> Tensor:
    """One projection of queries, keys and values, [3, B, heads, length, width]."""
    count = max(1, tokens // length)
    rows = torch.randn(count, length, 3, heads, width).to(dtype)
    return rows.permute(2, 0, 3, 1, 4)


def fused_attention(parts: Tensor) -> Tensor:
    """Torch's kernel, float [B, heads, length, d]."""
    return F.scaled_dot_product_attention(*parts.unbind(0))


def run(
    attend: Callable[..., Tensor], projected: Tensor, train: bool
) -> Callable[[], None]:
    """A call of an attention, and with ``train`` of its way back."""

    def forward() -> None:
        with torch.inference_mode():
            attend(projected)

    def forward_and_back() -> None:
        leaf = projected.detach().requires_grad_()
        attend(leaf).sum().backward()

    return forward_and_back if train else forward


def softmax_rows(tokens: int, heads: int, rounds: int) -> list[tuple[int, ...]]:
    """Length, and microseconds of torch's softmax and of that in chunks."""
    rows = []
    for length in SOFTMAX_LENGTHS:
        count = max(1, tokens // length) * heads
        scores = torch.randn(count, length, length).bfloat16()
        runs = {
            "torch": lambda s=scores: torch.softmax(s, dim=-1),
            "chunks": lambda s=scores: softmax_by_chunks(s),
        }
        with torch.inference_mode():
            seconds = in_turn(runs, 5 * rounds)
        rows.append((length, *(round(1e6 * median(seconds[n])) for n in runs)))
    return rows


def main(
    tokens: int = typer.Option(8192, help="Pieces a batch"),
    heads: int = typer.Option(4, help="Attention heads"),
    width: int = typer.Option(64, help="Width of a head"),
    rounds: int = typer.Option(7, help="How often each is timed"),
    threads: int = typer.Option(2, help="Threads of torch"),
) -> None:
    """Time both at several lengths, print and write milliseconds."""
    torch.set_num_threads(threads)
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for train in (False, True):
            for length in LENGTHS:
                projected = inputs(tokens, length, heads, width, dtype)
                seconds = in_turn(
                    {
                        "fused": run(fused_attention, projected, train),
                        "explicit": run(explicit_attention, projected, train),
                    },
                    rounds,
                )
                fused, explicit = (1e3 * median(seconds[n]) for n in seconds)
                kind = "forward and back" if train else "forward"
                name = str(dtype).removeprefix("torch.")
                rows.append((name, kind, length, fused, explicit, fused / explicit))
    header = (
        "dtype",
        "pass",
        "length",
        "fused, ms",
        "explicit, ms",
        "fused / explicit",
    )
    shown = [(*row[:3], *(f"{value:.2f}" for value in row[3:])) for row in rows]
    msg.table(shown, header=header, divider=True)
    of_softmax = softmax_rows(tokens, heads, rounds)
    names = ("length", "torch, us", "chunks, us")
    msg.table(of_softmax, header=names, divider=True)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    softmax = [dict(zip(names, row, strict=True)) for row in of_softmax]
    figures = {"tokens": tokens, "rows": table, "softmax": softmax}
    msg.good(f"Wrote {write_result('attention', figures)}")


if __name__ == "__main__":
    typer.run(main)
