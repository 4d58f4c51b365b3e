"""What `electra_rtd` learns: an objective that it is given, by name or as an object."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spacy.training import Example
from spacy.util import logger, registry

from ...errors import Errors, Warnings, listed
from ..component import HeadComponent, is_made_up
from ..scorers.rtd import Scores, keys_in

if TYPE_CHECKING:
    from ..rtd import ElectraRTD

# In the component's settings, so that it is saved with them.
_CHOSEN = "chosen_objective"


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
        found = keys_in(examples)
        if key not in found and not is_made_up(examples):
            raise ValueError(Errors.SE350(key=key, found=", ".join(found) or "none"))

    def learn(self, component: ElectraRTD, examples: Sequence[Example]) -> float:
        """As every component over a head learns."""
        return HeadComponent.learn(component, examples)


class AutoRTD(RTDObjective):
    """Learns from gold spans where the data has them, and else from raw text.

    The first data decides, and the log says how; a saved component goes on alike.
    """

    name: ClassVar[str] = "auto"

    def begin(self, component: ElectraRTD, examples: Sequence[Example]) -> None:
        """Choose by the data; made-up examples leave it to the first update."""
        component.cfg.pop(_CHOSEN, None)
        if not is_made_up(examples):
            self._choose(component, examples)
        self._chosen(component).begin(component, examples)

    def learn(self, component: ElectraRTD, examples: Sequence[Example]) -> float:
        """Learn in the way that was chosen, or is now."""
        if _CHOSEN not in component.cfg:
            self._choose(component, examples)
        return self._chosen(component).learn(component, examples)

    def score(
        self, component: ElectraRTD, examples: Sequence[Example]
    ) -> Scores | None:
        """Score examples without gold spans in the way that was chosen."""
        return self._chosen(component).score(component, examples)

    def _chosen(self, component: ElectraRTD) -> RTDObjective:
        return component.objectives[component.cfg.get(_CHOSEN, "pretrain")]

    def _choose(self, component: ElectraRTD, examples: Sequence[Example]) -> None:
        name, key, found = component.name, component.cfg["spans_key"], keys_in(examples)
        has_gold = key in found
        component.cfg[_CHOSEN] = chosen = "supervised" if has_gold else "pretrain"
        where = f"{'' if has_gold else 'no '}gold spans in doc.spans[{key!r}]"
        way = "gold spans" if has_gold else "raw text, with a generator"
        logger.info("%s learns from %s: the data has %s", name, way, where)
        if found and not has_gold:
            keys = listed(found)
            message = Warnings.SW457(name=name, key=key, found=keys, chosen=chosen)
            warnings.warn(message, stacklevel=2)


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
