"""What a component has that marks at a wished rate, by a calibration table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import Errors
from ...source import resolve_source
from ..component import HeadComponent, check_probability
from .file import (
    CALIBRATION,
    as_dict,
    calibration_from,
    read_calibration,
    write_calibration,
)
from .fitting import fingerprint
from .table import UNSCALED, Calibration, Scale, check_rate

RATE, CALIBRATED, _DOMAIN = "false_marks_per_1000", "calibrated", "domain"


class CalibratedComponent(HeadComponent):
    """A component over a head whose scores have a calibration table.

    The table is that of the setting ``calibration``, else the one beside the weights of
    the source. A saved pipeline holds its own, and looks at neither.
    """

    def set_calibration(
        self,
        threshold: float,
        false_marks_per_1000: float | None,
        calibration: str | os.PathLike[str] | None,
        domain: str | None,
        calibrated: bool,
    ) -> None:
        """Take over the settings, whose meaning ``ElectraRTD`` tells."""
        self._file = calibration
        self._own: Calibration | None = None
        self._is_loaded = False
        self._checked: Calibration | None = None
        self._was_sought = False
        self.threshold = threshold
        self.domain, self.calibrated = domain, calibrated
        self.false_marks_per_1000 = false_marks_per_1000

    @property
    def threshold(self) -> float:
        """Probability from which a word is marked; may be changed at any time.

        Once it is changed, ``false_marks_per_1000`` counts no more.
        """
        return float(self.cfg["threshold"])

    @threshold.setter
    def threshold(self, value: float) -> None:
        check_probability("threshold", value)
        self.cfg["threshold"] = value
        self.cfg.pop(RATE, None)

    @property
    def false_marks_per_1000(self) -> float | None:
        """Wished rate of false marks, in place of ``threshold``; may be changed."""
        return self.cfg.get(RATE)

    @false_marks_per_1000.setter
    def false_marks_per_1000(self, value: float | None) -> None:
        self._keep(RATE, None if value is None else check_rate(value))

    @property
    def domain(self) -> str | None:
        """The domain of the table that counts; None for the table's default."""
        return self.cfg.get(_DOMAIN)

    @domain.setter
    def domain(self, value: str | None) -> None:
        self._keep(_DOMAIN, value)

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated probabilities."""
        return bool(self.cfg.get(CALIBRATED))

    @calibrated.setter
    def calibrated(self, value: bool) -> None:
        self._keep(CALIBRATED, value or None)

    def _keep(self, key: str, value: Any) -> None:
        # What a saved component does not say, a config may say as it is loaded.
        self.cfg.pop(key, None)
        if value is not None:
            self.cfg[key] = value

    @property
    def calibration(self) -> Calibration | None:
        """The table; None where there is none. May be set.

        Raises:
            FileNotFoundError: If the setting ``calibration`` names no file.
            ValueError: If the file is no such table.
        """
        if self._own is None:
            file = self._file or self._beside_source()
            if file is not None:
                self._own = read_calibration(file)
        return self._own

    @calibration.setter
    def calibration(self, table: Calibration | None) -> None:
        self._own, self._checked, self._is_loaded = table, None, True
        self._was_sought = False

    def _beside_source(self) -> Path | None:
        if self._is_loaded:
            return None
        try:
            source = self.model.encoder.source
            file = resolve_source(source, wanted="checkpoint") / CALIBRATION
        except (OSError, ValueError):
            # The weights are here all the same, or reading them tells what is wrong.
            return None
        return file if file.is_file() else None

    def threshold_for(self, rate: float, domain: str | None = None) -> float:
        """The score from which ``rate`` words in 1,000 of clean text are marked.

        Args:
            rate: False marks per 1,000 words.
            domain: One of the table; None for that of the settings, or the default.

        Raises:
            ValueError: If there is no table for these weights, or it can't tell.
        """
        check_rate(rate)
        table = self._table(f"{RATE} = {rate:g}")
        raw = table.threshold(rate, domain or self.domain)
        if not self.calibrated:
            return raw
        return float(self.scale.apply(raw))

    @property
    def mark_threshold(self) -> float:
        """The score from which words are marked, by whichever setting counts."""
        rate = self.false_marks_per_1000
        return self.threshold if rate is None else self.threshold_for(rate)

    @property
    def scale(self) -> Scale:
        """What makes scores of logits."""
        if not self.calibrated:
            return UNSCALED
        scale = self._table(f"{CALIBRATED} = true").scores
        if scale is None:
            raise ValueError(Errors.SE539(name=self.name))
        return scale

    def probabilities(
        self, logits: Iterable[NDArray[np.float32]]
    ) -> list[NDArray[np.float64]]:
        """The scores of logits, calibrated where the settings say so."""
        scale = self.scale
        doubles = (torch.from_numpy(part).double() for part in logits)
        scaled = (part / scale.temperature + scale.bias for part in doubles)
        return [part.sigmoid().numpy() for part in scaled]

    def scores_of(self, doc: Doc) -> NDArray[np.float64]:
        """The probabilities that were set on a Doc; 0 where none was."""
        attribute = self.cfg["score_attribute"]
        return np.array([token._.get(attribute) for token in doc])

    def _table(self, setting: str) -> Calibration:
        table = self.calibration
        if table is None:
            source = self.model.encoder.source
            raise ValueError(
                Errors.SE537(setting=setting, name=self.name, source=source)
            )
        # Once after each change of the weights is enough.
        if self._checked is not table:
            if table.weights != fingerprint(self.model):
                raise ValueError(Errors.SE538(setting=setting, name=self.name))
            self._checked = table
        return table

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Read the weights, and the table, from the source; as in the base."""
        super().initialize(get_examples, nlp=nlp, labels=labels)
        self._own, self._checked = None, None
        self._is_loaded = self._was_sought = False

    def update(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, float]:
        """Learn from a batch; as in the base."""
        self._checked = None
        return super().update(examples, **kwargs)

    def _saved(self) -> Calibration | None:
        """The table, if it is one of these weights."""
        if self.model.shim.is_empty or (self._own is None and self._was_sought):
            return None
        # The source may be a hub id, which is not asked for a table at every saving.
        self._was_sought = True
        try:
            table = self.calibration
        except FileNotFoundError:
            # Of a pipeline that went on learning elsewhere.
            return None
        if table is None or table.weights != fingerprint(self.model):
            return None
        return table

    def to_disk(
        self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()
    ) -> None:
        """Save the component, with the table as "calibration.json"."""
        super().to_disk(path, exclude=exclude)
        file = Path(path) / CALIBRATION
        table = self._saved()
        if table is not None:
            write_calibration(table, file)
        else:
            file.unlink(missing_ok=True)

    def from_disk(
        self, path: str | os.PathLike[str], *, exclude: Iterable[str] = ()
    ) -> CalibratedComponent:
        """Load the component, and its table if it has one."""
        super().from_disk(path, exclude=exclude)
        file = Path(path) / CALIBRATION
        self.calibration = read_calibration(file) if file.exists() else None
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The component and its table."""
        data: bytes = super().to_bytes(exclude=exclude)
        table = self._saved()
        if table is None:
            return data
        message = {**srsly.msgpack_loads(data), "calibration": as_dict(table)}
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> CalibratedComponent:
        """Load what ``to_bytes`` gave."""
        super().from_bytes(bytes_data, exclude=exclude)
        data = srsly.msgpack_loads(bytes_data).get("calibration")
        self.calibration = None if data is None else calibration_from(data)
        return self
