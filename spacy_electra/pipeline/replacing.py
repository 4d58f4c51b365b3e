"""Configs of components whose listeners `nlp.replace_listeners` takes away."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ..layers.transformer_model import replace_listener_cfg
from .pipeline_ref import PipelineRef

Section = dict[str, Any]


class ListenerConfigs:
    """What configs said while there were listeners, and what they are to say after.

    spaCy puts the config of the encoder in place of a listener's. A model may change
    that with the attribute ``replace_listener_cfg``, but then spaCy looks for the
    listener under ``model.tok2vec``, wherever it is. So the model of an `electra` has
    no such attribute, and the config is mended once spaCy has written it.

    Args:
        nlp: The pipeline.
    """

    def __init__(self, nlp: PipelineRef) -> None:
        self._nlp = nlp
        self._before: dict[str, Section] = {}

    def remember(self, component: str) -> None:
        """Note the config of a component that listens."""
        config = self._config_of(component)
        if config is not None:
            self._before[component] = deepcopy(config)

    def mend(self, component: str, upstream: str) -> None:
        """Put what fits each listener where the config of its encoder stands.

        Args:
            component: Whose listener was replaced.
            upstream: Name of the component whose encoder it has a copy of.
        """
        after, encoder = self._config_of(component), self._config_of(upstream)
        if after is not None and encoder is not None and component in self._before:
            _mend(after, self._before[component], encoder["model"])

    def _config_of(self, component: str) -> Section | None:
        nlp = self._nlp()
        if nlp is None or component not in nlp.component_names:
            return None
        return nlp.get_pipe_config(component)


def _mend(after: Section, before: Section, encoder: Section) -> None:
    for name, section in after.items():
        # The very dict, not one that is equal: that is no listener's.
        if section is encoder:
            after[name] = replace_listener_cfg(encoder, before[name])
        elif isinstance(section, dict):
            _mend(section, before[name], encoder)
