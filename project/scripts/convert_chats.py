"""Conversations of Topical-Chat as texts: a message, or a few in a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import srsly
import typer
from wasabi import msg

# So many messages make a text, in turn.
GROUPS = (1, 1, 2, 1, 3)


def main(
    files: list[Path] = typer.Argument(..., help="valid_*.json and test_*.json"),
    output: Path = typer.Option(..., help="Where to write the texts, .jsonl"),
) -> None:
    """Write the texts of all conversations."""
    texts = [text for file in files for text in read_chats(file)]
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_jsonl(output, [{"text": text} for text in texts])
    words = sum(len(text.split()) for text in texts)
    msg.good(f"Wrote {len(texts):,} texts, {words:,} words, to {output}")


def read_chats(file: Path) -> Iterator[str]:
    """The texts of a file, in order."""
    turn = 0
    for conversation in srsly.read_json(file).values():
        messages = [part["message"].strip() for part in conversation["content"]]
        start = 0
        while start < len(messages):
            size = GROUPS[turn % len(GROUPS)]
            yield " ".join(messages[start : start + size])
            start, turn = start + size, turn + 1


if __name__ == "__main__":
    typer.run(main)
