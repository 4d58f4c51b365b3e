"""`python -m spacy electra scan`: suspicious words of files, with their places."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

import typer
from spacy.language import Language
from spacy.tokens import Token
from tqdm import tqdm

from ..errors import Errors
from ..files import whole_file
from ..layers.candidates import Candidate
from ..pipeline.ordinary import OrdinaryWords
from ..pipeline.rtd import ElectraRTD
from ..pipeline.saving.folder import pipeline_folder
from ..source import DEFAULT_SOURCE
from .detectors import open_detector
from .marking import SUGGESTIONS, set_threshold, suggestions_for
from .scan_output import FORMS, Finding, Form
from .scan_reading import STDIN, Block, blocks_of, files_of, size_of
from .user_errors import told

NOTHING, FOUND, ERROR = 0, 1, 2
# Of a checkpoint that has a table of calibration.
_FALSE_MARKS = 2.0
_BLOCKS_AT_ONCE = 64


def scan(
    files: list[str] = typer.Argument(
        ..., help="Files, folders, globs, or - for standard input", metavar="FILES..."
    ),
    source: str = typer.Option(
        DEFAULT_SOURCE, help="Checkpoint, bundled name, hub id, or a saved pipeline"
    ),
    format: str = typer.Option("table", help='"table", "jsonl" or "sarif"'),
    output: Path = typer.Option(
        None, "--output", "-o", help="File for the result; else standard output"
    ),
    threshold: float = typer.Option(None, help="Score from which a word is marked"),
    false_marks: float = typer.Option(
        None,
        help="In its place, wished false marks per 1,000 words; by default what a "
        f"saved pipeline says, {_FALSE_MARKS:g} of a checkpoint with a table of "
        "calibration, else a threshold of 0.5",
        show_default=False,
    ),
    suggestions: int = typer.Option(
        None,
        help=f"Words to suggest for each; by default {SUGGESTIONS} where there is a "
        "generator",
        show_default=False,
    ),
    all_: bool = typer.Option(
        False, "--all", help="Mark names, numbers, code and unknown words, too"
    ),
    lang: str = typer.Option("en", help="Language, where SOURCE is no pipeline"),
) -> None:
    """List words that may not belong, with line, column, score and suggestions.

    Exit status: 0 if there are none, 1 if there are some, 2 after an error.
    """
    if format not in FORMS:
        choices = ", ".join(FORMS)
        raise ValueError(Errors.SE002(name="--format", value=format, choices=choices))
    found = files_of(files)
    nlp, component = open_detector(source, lang)
    if threshold is None and false_marks is None and pipeline_folder(source) is None:
        false_marks = _FALSE_MARKS if component.calibration is not None else None
    set_threshold(component, threshold, false_marks)
    suggestions = suggestions_for(component, suggestions)
    # They are asked for below, for those marks alone that are told.
    component.suggestions = 0
    scanner = _Scanner(nlp, component, suggestions, with_all=all_)
    failed = 0
    with _opened(output) as out, _bar(size_of(found)) as bar:
        form = FORMS[format](out)
        for file in found:
            try:
                scanner.scan(file, form, bar)
            except (ValueError, OSError) as error:
                # One unreadable file does not hide what the others hold.
                failed += 1
                bar.write(told(str(error)), file=sys.stderr)
            form.end_file()
        form.end()
    number = "1 file" if len(found) == 1 else f"{len(found):,} files"
    words = f"{scanner.words:,} words in {number}"
    summary = f"{scanner.count:,} suspicious of {words}"
    if failed:
        summary += f"; {failed:,} could not be read"
    print(summary, file=sys.stderr)
    status = ERROR if failed else FOUND if scanner.count else NOTHING
    raise typer.Exit(status)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with (
        whole_file(output) as partial,
        partial.open("w", encoding="utf8", newline="\n") as file,
    ):
        yield file


@contextmanager
def _bar(size: int) -> Iterator[tqdm]:
    # None: not where standard error is no terminal.
    with tqdm(
        total=size or None,
        unit="B",
        unit_scale=True,
        desc="Scanning",
        leave=False,
        disable=None,
        file=sys.stderr,
    ) as bar:
        yield bar


class _Scanner:
    """Finds suspicious words in files.

    Attributes:
        count: Findings so far.
        words: Tokens with a letter so far.
    """

    def __init__(
        self,
        nlp: Language,
        component: ElectraRTD,
        suggestions: int,
        *,
        with_all: bool,
    ) -> None:
        self.nlp = nlp
        self.component = component
        self.suggestions = suggestions
        self.with_all = with_all
        self.count = self.words = 0

    def scan(self, file: str, form: Form, bar: tqdm) -> None:
        """Give a form what is found in a file, a few paragraphs at a time."""
        tokenizer = self.component.model.encoder.load().tokenizer
        assert tokenizer is not None
        is_ordinary = OrdinaryWords(tokenizer)
        blocks = blocks_of(file, with_code=self.with_all)
        before = 0
        while group := list(islice(blocks, _BLOCKS_AT_ONCE)):
            found = list(self._findings(file, group, is_ordinary))
            self.count += len(found)
            form.add(found)
            if file != STDIN:
                bar.update(group[-1].position - before)
                before = group[-1].position

    def _findings(
        self, file: str, blocks: list[Block], is_ordinary: OrdinaryWords
    ) -> Iterator[Finding]:
        flag = self.component.cfg["flag_attribute"]
        marked: list[tuple[Block, Token]] = []
        docs = self.nlp.pipe(((b.text, b) for b in blocks), as_tuples=True)
        for doc, block in docs:
            self.words += sum(any(map(str.isalpha, token.text)) for token in doc)
            ordinary = None if self.with_all else is_ordinary(doc)
            for token in doc:
                if token.is_space or not token._.get(flag):
                    continue
                if ordinary is None or ordinary[token.i]:
                    marked.append((block, token))
        fitting: list[list[Candidate]] = [[] for _ in marked]
        if self.suggestions:
            tokens = [token for _, token in marked]
            fitting = self.component.suggest(tokens, self.suggestions)
        score = self.component.cfg["score_attribute"]
        for (block, token), fits in zip(marked, fitting, strict=True):
            line, column = block.place_of(token.idx)
            context, start = block.line_at(token.idx)
            yield Finding(
                file=file,
                line=line,
                column=column,
                word=token.text,
                score=float(token._.get(score)),
                suggestions=tuple((word, share) for word, share in fits),
                context=context,
                start=token.idx - start,
            )
