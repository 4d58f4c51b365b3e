"""Split a file in the form of SQuAD by article.

Only the development set is small enough to come along. Questions about one article are
alike, so an article goes to one part with all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

Article = dict[str, Any]


def main(
    source: Path = typer.Argument(..., help="JSON in the form of SQuAD 1.1 or 2.0"),
    output: Path = typer.Argument(..., help="Folder for train, dev and test"),
) -> None:
    """Write train.json, dev.json and test.json."""
    data = srsly.read_json(source)
    output.mkdir(parents=True, exist_ok=True)
    for name, articles in split(data["data"]).items():
        if not articles:
            msg.fail(f"{source} has {len(data['data'])} articles; 5 at least", exits=1)
        srsly.write_json(output / f"{name}.json", {**data, "data": articles})
        questions = sum(len(p["qas"]) for a in articles for p in a["paragraphs"])
        count = f"{len(articles)} articles with {questions:,} questions"
        msg.good(f"Wrote {count} to {output / name}.json")


def split(articles: list[Article]) -> dict[str, list[Article]]:
    """Of every ten articles seven to learn from, one to choose by, two to measure on.

    They stand in the order of their titles, so that the same articles make the same
    parts, whatever their order in the file.
    """
    parts: dict[str, list[Article]] = {"train": [], "dev": [], "test": []}
    for number, article in enumerate(sorted(articles, key=lambda a: a["title"])):
        name = {2: "dev", 4: "test", 8: "test"}.get(number % 10, "train")
        parts[name].append(article)
    return parts


if __name__ == "__main__":
    typer.run(main)
