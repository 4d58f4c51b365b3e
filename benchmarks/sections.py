"""Parts of a page that a benchmark writes: between two comments that name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wasabi import msg

from spacy_electra.files import whole_file

CARDS = Path(__file__).parents[1] / "docs" / "checkpoints"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_section(file: Path, name: str) -> str:
    """What a page has in the place of that name."""
    return _parts(file, name)[1]


def write_section(file: Path, name: str, text: str) -> None:
    """Put text in the place of that name."""
    before, _, after = _parts(file, name)
    with whole_file(file) as partial:
        partial.write_text(f"{before}{text}{after}", encoding="utf8")


def _parts(file: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->\n\n", f"\n\n<!-- {name}: end -->"
    before, found, rest = file.read_text(encoding="utf8").partition(begin)
    text, ended, after = rest.partition(end)
    if not (found and ended):
        msg.fail(f"{file} has no place for it: {begin} and {end}", exits=1)
    return before + begin, text, end + after
