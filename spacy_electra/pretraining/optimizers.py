"""Optimizers by name, and the learning-rate schedule they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw as adamw_step

from ..errors import Errors

WEIGHT_DECAY = 0.01
# Of steps: a decay of one in a million to this power is zero in float64.
_LATE = 1e12


class AdamWithoutBiasCorrection(Optimizer):
    """AdamW as BERT and ELECTRA were trained with it.

    The moments are not corrected for having begun at zero, which acts as a warm-up of
    its own (google-research/bert, ``AdamWeightDecayOptimizer``). Decay is decoupled
    from the gradient (Loshchilov and Hutter, 2019).

    Args:
        parameters: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay of the first and second moment.
        eps: Added to the root of the second moment.
        weight_decay: Times the learning rate, what a weight loses each step.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = WEIGHT_DECAY,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients that are there."""
        for group in self.param_groups:
            first, second = group["betas"]
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["mean"] = torch.zeros_like(weight)
                    self.state[weight]["square"] = torch.zeros_like(weight)
            means = [self.state[p]["mean"] for p in weights]
            squares = [self.state[p]["square"] for p in weights]
            if all(map(_is_fusable, weights)):
                _fused_step(group, weights, gradients, means, squares)
                continue
            torch._foreach_lerp_(means, gradients, 1 - first)
            torch._foreach_mul_(squares, second)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
            roots = torch._foreach_sqrt(squares)
            torch._foreach_add_(roots, group["eps"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_addcdiv_(weights, means, roots, -group["lr"])


def _is_fusable(weight: Tensor) -> bool:
    """Whether torch's kernel for all weights at once serves; not if it is divided."""
    return type(weight) is nn.Parameter and weight.device.type in ("cpu", "cuda")


def _fused_step(
    group: dict[str, Any],
    weights: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
) -> None:
    """The same step in one pass over memory, with torch's AdamW."""
    first, second = group["betas"]
    # After so many steps nothing is left of the correction.
    late = torch.full((), _LATE, device=weights[0].device)
    adamw_step(
        weights,
        gradients,
        means,
        squares,
        [],
        [late] * len(weights),
        fused=True,
        amsgrad=False,
        beta1=first,
        beta2=second,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def parameter_groups(
    module: nn.Module,
    weight_decay: float = WEIGHT_DECAY,
    lr: float = 0.0,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Weights that decay, and layer norms and biases that do not.

    Args:
        module: What to train.
        weight_decay: Of those that do.
        lr: Learning rate of what stands above the layers.
        layer_decay: Factor from each layer to the one below it (Clark et al., 2020,
            appendix A.2, fine-tune so); with 1 there are two groups, without rates of
            their own.
    """
    layers = 1 + max((_layer(name) for name, _ in module.named_parameters()), default=0)
    decayed: dict[int, list[Tensor]] = {}
    kept: dict[int, list[Tensor]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            below = 0
            if layer_decay < 1:
                is_embedding = "embeddings" in name
                below = layers + 1 if is_embedding else layers - _layer(name)
                below = below if is_embedding or ".layers." in name else 0
            undecayed = parameter.dim() < 2 or "norm" in name
            (kept if undecayed else decayed).setdefault(below, []).append(parameter)
    if layer_decay == 1:
        return [
            {"params": decayed.get(0, []), "weight_decay": weight_decay},
            {"params": kept.get(0, []), "weight_decay": 0.0},
        ]
    return [
        {"params": group, "weight_decay": decay, "lr": lr * layer_decay**below}
        for groups, decay in ((decayed, weight_decay), (kept, 0.0))
        for below, group in sorted(groups.items())
    ]


def _layer(name: str) -> int:
    """Number of the layer that a parameter belongs to, -1 for none."""
    found = re.search(r"\.layers\.(\d+)\.", name)
    return int(found.group(1)) if found else -1


def adamw_reference(
    module: nn.Module,
    lr: float,
    weight_decay: float = WEIGHT_DECAY,
    layer_decay: float = 1.0,
) -> list[Optimizer]:
    """AdamW without bias correction, as the reference implementation has it."""
    groups = parameter_groups(module, weight_decay, lr, layer_decay)
    return [AdamWithoutBiasCorrection(groups, lr=lr)]


def adamw(
    module: nn.Module,
    lr: float,
    weight_decay: float = WEIGHT_DECAY,
    layer_decay: float = 1.0,
) -> list[Optimizer]:
    """Torch's AdamW."""
    groups = parameter_groups(module, weight_decay, lr, layer_decay)
    return [torch.optim.AdamW(groups, lr=lr, eps=1e-6, fused=True)]


def muon(
    module: nn.Module,
    lr: float,
    muon_lr: float = 0.02,
    weight_decay: float = WEIGHT_DECAY,
) -> list[Optimizer]:
    """Muon on the matrices of the layers and AdamW on all else.

    Muon orthogonalizes the momentum of a matrix before it steps (Jordan et al., 2024),
    here torch's own implementation.

    Args:
        module: What to train.
        lr: Learning rate of AdamW.
        muon_lr: Learning rate of Muon.
        weight_decay: Of both.

    Raises:
        ImportError: If torch is older than Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ImportError(Errors.SE409(version=torch.__version__))
    matrices = [
        parameter
        for name, parameter in module.named_parameters()
        if ".layers." in name and parameter.dim() == 2
    ]
    chosen = {id(matrix) for matrix in matrices}
    groups = parameter_groups(module, weight_decay)
    for group in groups:
        group["params"] = [p for p in group["params"] if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=muon_lr, weight_decay=weight_decay),
        torch.optim.AdamW(groups, lr=lr, eps=1e-6, betas=(0.9, 0.98), fused=True),
    ]


OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {
    "adamw_reference": adamw_reference,
    "adamw": adamw,
    "muon": muon,
}


def warmup_then_decay(
    progress: float, steps: int, warmup_steps: int, floor: float = 0.0
) -> float:
    """Warm-up times linear decay, as the reference implementation multiplies them.

    Args:
        progress: How much of the training is over, 0 to 1.
        steps: Steps taken so far.
        warmup_steps: Steps over which the rate rises from zero.
        floor: Share of the rate that is left at the end.

    Returns:
        What to multiply the learning rate by, 0 to 1.
    """
    warmup = min(1.0, (steps + 1) / max(warmup_steps, 1))
    return warmup * (floor + (1 - floor) * max(0.0, 1.0 - progress))
