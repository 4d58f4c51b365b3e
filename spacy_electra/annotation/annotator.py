"""One shard through a pipeline, and onto the disk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors, Warnings
from ..files import whole_file
from .form import Form
from .output import WRITERS, AnnotatedRow, as_json, storable, write_errors
from .rows import BadRow, ReadRow, read_row
from .settings import ENDINGS, AnnotationSettings
from .shards import ERRORS, Shard


@dataclass(frozen=True)
class ShardReport:
    """What came of a shard.

    Args:
        name: Of the shard.
        rows: Annotated rows.
        bad: Rows that could not be annotated.
        words: Tokens of the annotated rows.
        size: What the shard took of its file, bytes on the disk.
        was_done: Whether it was annotated before; then nothing is counted.
        warnings: What was warned of.
    """

    name: str
    rows: int
    bad: int
    words: int
    size: int
    was_done: bool = False
    warnings: tuple[str, ...] = ()


class Annotator:
    """Annotates shards; loads its pipeline when it gets the first one.

    Args:
        settings: Of the run.
        output: The folder of results.
    """

    def __init__(self, settings: AnnotationSettings, output: Path) -> None:
        self.settings = settings
        self.output = output
        self._loaded: tuple[Language, Form] | None = None

    def __call__(self, shard: Shard) -> ShardReport:
        """Annotate a shard and write it: first its errors, then the rows.

        Once the file of the rows is there, the shard is done.

        Raises:
            ValueError: If the pipeline can't be loaded, or has no such annotation.
        """
        if shard.is_done:
            return ShardReport(shard.name, 0, 0, 0, shard.size, was_done=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            nlp, form = self.load()
            good, bad = self.annotate(shard, nlp, form)
            errors = self.output / ERRORS / f"{shard.name}.jsonl"
            if bad:
                write_errors(errors, shard.file, bad)
            else:
                errors.unlink(missing_ok=True)
            with whole_file(result_file(self.output, shard.name, self.settings)) as new:
                WRITERS[self.settings.format](new, good, self.settings)
        return ShardReport(
            shard.name,
            len(good),
            len(bad),
            sum(row.words for row in good),
            shard.size,
            warnings=tuple(dict.fromkeys(str(warning.message) for warning in caught)),
        )

    def load(self) -> tuple[Language, Form]:
        """The pipeline and the form of its annotations."""
        if self._loaded is None:
            settings = self.settings
            if settings.threads:
                torch.set_num_threads(settings.threads)
            if settings.gpu_id >= 0:
                spacy.require_gpu(settings.gpu_id)
            try:
                nlp = spacy.load(settings.pipeline)
            except OSError as error:
                message = Errors.SE648(pipeline=settings.pipeline, error=error)
                raise ValueError(message) from error
            self._loaded = nlp, Form.of(nlp, settings.annotations)
        return self._loaded

    def annotate(
        self, shard: Shard, nlp: Language, form: Form
    ) -> tuple[list[AnnotatedRow], list[BadRow]]:
        """The rows of a shard with their annotations, and those that have none."""
        # By position, so that what fails stands where it stood.
        found: list[AnnotatedRow | BadRow | None] = [None] * len(shard.rows)
        ready: dict[int, ReadRow] = {}
        for i, row in enumerate(shard.rows):
            try:
                if isinstance(row, BadRow):
                    found[i] = row
                else:
                    ready[i] = read_row(row, shard.file, nlp, self.settings)
            # Whatever a broken row makes anything say, the others go on.
            except Exception as error:
                found[i] = BadRow(row.place, reason(error))
        for i, row_or_none in self._together(nlp, form, ready).items():
            found[i] = row_or_none
        for i, read in ready.items():
            if found[i] is None:
                found[i] = self._alone(nlp, form, read)
        assert None not in found
        return (
            [row for row in found if isinstance(row, AnnotatedRow)],
            [row for row in found if isinstance(row, BadRow)],
        )

    def _together(
        self, nlp: Language, form: Form, ready: dict[int, ReadRow]
    ) -> dict[int, AnnotatedRow]:
        """Annotate rows in batches; those of a batch that fails are left out."""
        found: dict[int, AnnotatedRow] = {}
        known: dict[int, frozenset[Any]] = {}
        inputs = []
        for i, read in ready.items():
            try:
                doc = self._doc(nlp, read)
            # Its turn alone will tell.
            except Exception:
                continue
            known[i] = frozenset(doc.user_data)
            inputs.append((doc, i))
        before = nlp.default_error_handler
        nlp.set_error_handler(cast(Any, _leave_out))
        try:
            batch_size = self.settings.batch_size or None
            for doc, i in nlp.pipe(inputs, as_tuples=True, batch_size=batch_size):
                # A component may make another Doc, of which this is not known.
                if i in known:
                    found[i] = self._row(form, ready[i], doc, known[i])
        except Exception:
            # A component that asks nobody, or an annotation without a plain form: each
            # row that is missing tells its own reason when it is alone.
            pass
        finally:
            nlp.set_error_handler(before)
        return found

    def _alone(self, nlp: Language, form: Form, read: ReadRow) -> AnnotatedRow | BadRow:
        try:
            doc = self._doc(nlp, read)
            known = frozenset(doc.user_data)
            return self._row(form, read, nlp(doc), known)
        except Exception as error:
            return BadRow(read.place, reason(error))

    def _doc(self, nlp: Language, read: ReadRow) -> Doc:
        """A Doc of its own for a row, with what is asked about it."""
        source = read.source
        doc = nlp.make_doc(source) if isinstance(source, str) else source.copy()
        for name in self.settings.inputs:
            if not Doc.has_extension(name):
                raise ValueError(Errors.SE649(name=name))
            if name in read.fields:
                doc._.set(name, read.fields[name])
        return doc

    def _row(
        self, form: Form, read: ReadRow, doc: Doc, known: frozenset[Any]
    ) -> AnnotatedRow:
        settings = self.settings
        is_docbin = settings.format == "docbin"
        annotation = {} if is_docbin else form.annotation(doc, known)
        # What can't be written is a bad row, not the end of the shard.
        text = as_json(read.fields, annotation, settings)
        if is_docbin:
            for name in storable(doc, read.fields, settings.text_field):
                warnings.warn(Warnings.SW642(name=name), stacklevel=2)
        return AnnotatedRow(
            read.place,
            read.fields,
            text,
            doc if is_docbin else None,
            read.schema,
            len(doc),
        )


def result_file(output: Path, name: str, settings: AnnotationSettings) -> Path:
    """Where the rows of a shard go."""
    return output / f"{name}{ENDINGS[settings.format]}"


def reason(error: Exception) -> str:
    """Why a row can't be annotated: a message with a code, or the error as it is."""
    message = str(error)
    coded = message.startswith("[SE")
    return message if coded else f"{type(error).__name__}: {message}"


def _leave_out(
    name: str, component: Any, docs: Sequence[Doc], error: Exception
) -> None:
    """What components do with Docs that fail: nothing, their turn alone will tell."""
