"""Annotated rows as files: .jsonl, .parquet or a DocBin."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin

from ..errors import Errors, Warnings
from ..extras import import_extra
from ..files import whole_file
from .plain import plain
from .rows import BadRow
from .settings import AnnotationSettings

# The key of ``doc.user_data`` that holds the fields of a row in a DocBin.
FIELDS = "fields"


@dataclass
class AnnotatedRow:
    """A row and what the pipeline found.

    Args:
        place: Where the row stands in its file.
        fields: What it holds.
        json: What is written of it as JSON: the line of a .jsonl, the annotation in a
            .parquet, nothing in a DocBin.
        doc: The Doc, where a DocBin is written.
        schema: Types of the fields, where the file says.
        words: Tokens of the Doc.
    """

    place: str
    fields: dict[str, Any]
    json: str = ""
    doc: Doc | None = None
    schema: Any = None
    words: int = 0


def as_json(
    fields: dict[str, Any], annotation: dict[str, Any], settings: AnnotationSettings
) -> str:
    """What is written of a row as JSON, in the run's format.

    Raises:
        ValueError: If a field or the annotation has no such form, such as half a
            character.
    """
    whole = {**fields, settings.annotation_field: annotation}
    try:
        line = json.dumps(plain(whole), ensure_ascii=False)
        line.encode("utf8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(Errors.SE647(error=error)) from error
    if settings.format == "parquet":
        return json.dumps(annotation, ensure_ascii=False)
    return line if settings.format == "jsonl" else ""


def write_jsonl(
    file: Path, rows: Sequence[AnnotatedRow], settings: AnnotationSettings
) -> None:
    """One line of JSON per row."""
    with file.open("w", encoding="utf8", newline="\n") as stream:
        stream.writelines(f"{row.json}\n" for row in rows)


def write_parquet(
    file: Path, rows: Sequence[AnnotatedRow], settings: AnnotationSettings
) -> None:
    """A column per field, and the annotation as a column of JSON text.

    JSON, because the annotations of one shard seldom have all members that those of
    another have, and files of different columns can't be read as one table.
    """
    arrow = parquet_package()
    schema = rows[0].schema if rows else None
    names = dict.fromkeys(name for row in rows for name in row.fields)
    columns = {
        name: _column(
            arrow,
            name,
            [row.fields.get(name) for row in rows],
            None if schema is None else schema.field(name).type,
        )
        for name in names or [settings.text_field]
    }
    columns[settings.annotation_field] = arrow.array(
        [row.json for row in rows], type=arrow.string()
    )
    import_extra("pyarrow.parquet", ".parquet files", "formats").write_table(
        arrow.table(columns), file
    )


def _column(arrow: Any, name: str, values: list[Any], kind: Any) -> Any:
    if not values:
        return arrow.array(values, type=kind or arrow.string())
    try:
        return arrow.array(values, type=kind)
    except (arrow.ArrowException, OverflowError, TypeError):
        # Fields of JSON may hold strings here and numbers there.
        warnings.warn(Warnings.SW641(name=name), stacklevel=2)
        texts = [None if v is None else json.dumps(plain(v)) for v in values]
        return arrow.array(texts, type=arrow.string())


def write_docbin(
    file: Path, rows: Sequence[AnnotatedRow], settings: AnnotationSettings
) -> None:
    """The Docs, with the fields of their rows in ``doc.user_data["fields"]``."""
    docs = [row.doc for row in rows if row.doc is not None]
    DocBin(docs=docs, store_user_data=True).to_disk(file)


WRITERS: dict[
    str, Callable[[Path, Sequence[AnnotatedRow], AnnotationSettings], None]
] = {"jsonl": write_jsonl, "parquet": write_parquet, "docbin": write_docbin}


def storable(doc: Doc, fields: dict[str, Any], text_field: str) -> list[str]:
    """Make a Doc fit for a DocBin, and put the fields of its row on it.

    Returns:
        Names of what was on it and is plain data in no form, and had to go.
    """
    gone = []
    for key, value in list(doc.user_data.items()):
        try:
            doc.user_data[key] = plain(value)
        except TypeError:
            del doc.user_data[key]
            gone.append(str(key[1]) if isinstance(key, tuple) else str(key))
    others = {name: value for name, value in fields.items() if name != text_field}
    if others:
        doc.user_data[FIELDS] = plain(others)
    return gone


def write_errors(file: Path, source: Path, bad: Iterable[BadRow]) -> None:
    """One line of JSON per row that could not be annotated."""
    with whole_file(file) as partial, partial.open("w", encoding="utf8") as stream:
        for row in bad:
            line = {"file": str(source), "place": row.place, "reason": row.reason}
            # A reason may quote half a character, which JSON escapes.
            stream.write(json.dumps(line) + "\n")


def parquet_package() -> Any:
    """The package pyarrow.

    Raises:
        ImportError: If it is not installed.
    """
    return import_extra("pyarrow", ".parquet files", "formats")
