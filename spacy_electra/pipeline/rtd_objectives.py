"""What `electra_rtd` learns: an objective that it is given, by name or as an object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spacy.training import Example
from spacy.util import registry

from ..errors import Errors
from .rtd_scorer import Scores

if TYPE_CHECKING:
    from .rtd import ElectraRTD


class RTDObjective:
    """A way to train `electra_rtd`.

    Attributes:
        name: What ``cfg["objective"]`` of the component says.
    """

    name: ClassVar[str]

    def begin(self, component: ElectraRTD, examples: Sequence[Example]) -> None:
        """Look at the first examples of the data, as the component is initialized."""

    def learn(self, component: ElectraRTD, examples: Sequence[Example]) -> float:
        """Add the gradients of a batch to those of the weights; gives the loss."""
        raise NotImplementedError

    def score(
        self, component: ElectraRTD, examples: Sequence[Example]
    ) -> Scores | None:
        """Score examples without gold spans; None leaves it to the scorer."""
        return None


@registry.misc("spacy-electra.SupervisedRTD.v1")
@dataclass(frozen=True)
class SupervisedRTD(RTDObjective):
    """Learns from gold spans: binary cross-entropy of each token.

    Args:
        positive_weight: Weight of a marked token beside another.

    Raises:
        ValueError: If the weight is not positive.
    """

    positive_weight: float = 1.0
    name: ClassVar[str] = "supervised"

    def __post_init__(self) -> None:
        if self.positive_weight <= 0:
            requirement = "a positive float"
            raise ValueError(
                Errors.SE003(
                    name="positive_weight",
                    requirement=requirement,
                    value=self.positive_weight,
                )
            )

    def begin(self, component: ElectraRTD, examples: Sequence[Example]) -> None:
        """Refuse data without gold spans."""
        key = component.cfg["spans_key"]
        if not any(key in example.reference.spans for example in examples):
            found = {name for example in examples for name in example.reference.spans}
            raise ValueError(
                Errors.SE350(key=key, found=", ".join(sorted(found)) or "none")
            )

    def learn(self, component: ElectraRTD, examples: Sequence[Example]) -> float:
        """As every component over a head learns."""
        return component.learn_from_gold(examples)


def with_objective(
    ways: Iterable[RTDObjective], objective: str | RTDObjective
) -> tuple[dict[str, RTDObjective], str]:
    """Ways to train by their names, and the name of the one that is asked for.

    Args:
        ways: Those that have names of their own.
        objective: The name of one, or another way, which takes the place of one of its
            name.

    Raises:
        ValueError: If there is none of that name.
    """
    by_name = {way.name: way for way in ways}
    if isinstance(objective, RTDObjective):
        by_name[objective.name] = objective
        return by_name, objective.name
    if objective not in by_name:
        choices = ", ".join(by_name)
        raise ValueError(
            Errors.SE002(name="objective", value=objective, choices=choices)
        )
    return by_name, objective
