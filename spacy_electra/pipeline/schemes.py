"""Spans as one label per token, and back: BIO, BILUO, BIOES and bare labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import Errors

OUTSIDE = "O"
# What the letters of BIOES are in BILUO.
_AS_BILUO = {"S": "U", "E": "L"}
# Of the first token of a span, its last, and its only one.
_LETTERS = {
    "BIO": ("B", "I", "B"),
    "BILUO": ("B", "L", "U"),
    "BIOES": ("B", "E", "S"),
}
# A span goes on after a token with one of these, and before one of those.
_OPEN, _INNER = "BI", "IL"
# Of labels that no scheme allows next to each other, in nats: it never wins over a
# sequence that is allowed, and leaves numbers finite.
_FORBIDDEN = -1e9
Span = tuple[int, int, str]


@dataclass(frozen=True)
class Scheme:
    """Which labels may follow each other, and which spans a sequence of them means.

    Labels are "O" and a letter with a type, "B-PER". "BIO" has B for the first token of
    a span and I for the others; "BILUO" has L for the last and U for a span of one
    token ("BIOES" calls them E and S). With "IO" labels are types without a letter, and
    neighbours of one type are one span.

    Args:
        name: "BIO", "BILUO", "BIOES" or "IO".
        labels: In the order of a head's outputs.
    """

    name: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Scheme:
        """The scheme that labels are of.

        Raises:
            ValueError: If they are of none: some have letters, others have not.
        """
        letters = {label[0] for label in labels if label[1:2] == "-"}
        bare = [label for label in labels if label != OUTSIDE and label[1:2] != "-"]
        if not letters:
            return cls("IO", tuple(labels))
        if bare or not letters <= set("BILUES"):
            odd = bare or sorted(letters - set("BILUES"))
            raise ValueError(Errors.SE395(labels=", ".join(odd)))
        if letters & set("ES"):
            return cls("BIOES", tuple(labels))
        return cls("BILUO" if letters & set("LU") else "BIO", tuple(labels))

    @classmethod
    def for_types(cls, name: str, types: Iterable[str]) -> Scheme:
        """All labels of a scheme for some types of spans.

        Raises:
            ValueError: If there is no such scheme.
        """
        letters = {"BIO": "BI", "BILUO": "BILU", "BIOES": "BIES", "IO": ""}
        if name not in letters:
            choices = ", ".join(letters)
            raise ValueError(Errors.SE002(name="scheme", value=name, choices=choices))
        labels = [OUTSIDE]
        for kind in types:
            labels += [f"{letter}-{kind}" for letter in letters[name]] or [kind]
        return cls(name, tuple(labels))

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Types of the spans, in the order of the labels."""
        return tuple(
            dict.fromkeys(kind for letter, kind in self._parts if letter != "O")
        )

    def tags_of(self, spans: Iterable[Span], length: int) -> list[str]:
        """The label of each token.

        Args:
            spans: First token, the one after the last, and type; they do not overlap.
            length: Number of tokens.
        """
        tags = [OUTSIDE] * length
        first, last, single = _LETTERS.get(self.name, ("", "", ""))
        for start, end, kind in spans:
            if self.name == "IO":
                tags[start:end] = [kind] * (end - start)
                continue
            tags[start:end] = [f"I-{kind}"] * (end - start)
            tags[end - 1] = f"{last}-{kind}"
            tags[start] = f"{single if end - start == 1 else first}-{kind}"
        return tags

    def spans_of(self, path: Sequence[int]) -> list[Span]:
        """The spans that a sequence of labels means, by their numbers."""
        spans: list[Span] = []
        start, open_kind = 0, ""
        for i, number in enumerate([*path, None]):
            letter, kind = ("O", "") if number is None else self._parts[number]
            if open_kind and not (letter in _INNER and kind == open_kind):
                spans.append((start, i, open_kind))
                open_kind = ""
            if letter != "O" and not open_kind:
                start, open_kind = i, kind
            if letter in "LU" and open_kind:
                spans.append((start, i + 1, open_kind))
                open_kind = ""
        return spans

    def best_path(self, log_probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """The likeliest sequence of labels that the scheme allows.

        The algorithm is Viterbi's (1967).

        Args:
            log_probabilities: Of each label at each token, float [tokens, labels].

        Returns:
            Numbers of labels, int64 [tokens].
        """
        if not len(log_probabilities):
            return np.zeros(0, dtype=np.int64)
        best = np.asarray(log_probabilities.argmax(1), dtype=np.int64)
        if self._is_legal(best):
            # The best of all sequences is the best of those that are allowed.
            return best
        moves = np.where(self._allowed, 0.0, _FORBIDDEN)
        scores = log_probabilities[0] + np.where(self._may_start, 0.0, _FORBIDDEN)
        before = np.zeros(log_probabilities.shape, dtype=np.int64)
        for i in range(1, len(log_probabilities)):
            reached = scores[:, None] + moves
            before[i] = reached.argmax(0)
            scores = reached.max(0) + log_probabilities[i]
        path = np.zeros(len(before), dtype=np.int64)
        path[-1] = (scores + np.where(self._may_end, 0.0, _FORBIDDEN)).argmax()
        for i in range(len(path) - 1, 0, -1):
            path[i - 1] = before[i, path[i]]
        return path

    @cached_property
    def _parts(self) -> list[tuple[str, str]]:
        """Letter, as in BILUO, and type of each label."""
        parts = []
        for label in self.labels:
            if label == OUTSIDE:
                parts.append(("O", ""))
            elif self.name == "IO":
                parts.append(("I", label))
            else:
                letter = label[0]
                if self.name == "BIOES":
                    letter = _AS_BILUO.get(letter, letter)
                parts.append((letter, label[2:]))
        return parts

    @cached_property
    def _allowed(self) -> NDArray[np.bool_]:
        """Whether a label (column) may follow another (row)."""
        return np.array(
            [[self._may_follow(a, b) for b in self._parts] for a in self._parts]
        )

    def _may_follow(self, left: tuple[str, str], right: tuple[str, str]) -> bool:
        if self.name == "IO":
            return True
        goes_on = right[0] in _INNER
        if goes_on and left[0] not in _OPEN:
            return False
        if goes_on:
            return left[1] == right[1]
        # In BIO a span may end anywhere; otherwise only with its last token.
        return self.name == "BIO" or left[0] not in _OPEN

    @cached_property
    def _may_start(self) -> NDArray[np.bool_]:
        is_any = self.name == "IO"
        return np.array([is_any or letter not in _INNER for letter, _ in self._parts])

    @cached_property
    def _may_end(self) -> NDArray[np.bool_]:
        is_any = self.name in ("IO", "BIO")
        return np.array([is_any or letter not in _OPEN for letter, _ in self._parts])

    def _is_legal(self, path: NDArray[np.int64]) -> bool:
        starts, ends = self._may_start[path[0]], self._may_end[path[-1]]
        return bool(starts and ends and self._allowed[path[:-1], path[1:]].all())
