"""Write a corpus of a small grammar: text to learn from in minutes, with no download.

Every sentence is about a person, an animal or a machine, in the singular or the plural.
Kind and number of the subject decide which verbs, objects and places may follow, so a
word of another kind or number does not belong, and only its context tells.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer


def _pairs(words: str) -> list[list[str]]:
    return [pair.split("/") for pair in words.split()]


# Subjects as singular/plural; verbs in the same way; objects; places.
KINDS = {
    "person": (
        _pairs(
            "baker/bakers teacher/teachers doctor/doctors "
            "farmer/farmers singer/singers painter/painters"
        ),
        _pairs("reads/read writes/write buys/buy sells/sell"),
        ["a letter", "the newspaper", "some bread", "a long story", "two tickets"],
        ["in the kitchen", "at school", "in the old town", "after work"],
    ),
    "animal": (
        _pairs("horse/horses dog/dogs cat/cats fox/foxes goose/geese mouse/mice"),
        _pairs("eats/eat hunts/hunt smells/smell hears/hear"),
        ["fresh grass", "a small bird", "the wild berries", "some worms"],
        ["in the meadow", "behind the barn", "near the river", "at night"],
    ),
    "machine": (
        _pairs(
            "engine/engines robot/robots printer/printers "
            "lathe/lathes pump/pumps drill/drills"
        ),
        _pairs("burns/burn needs/need wastes/waste uses/use"),
        ["clean oil", "electric power", "hot steam", "heavy fuel", "cooling water"],
        ["in the factory", "under load", "without a pause", "at full speed"],
    ),
}
SENTENCES_A_DOCUMENT = 6


def main(
    output: Path = typer.Argument(..., help="Text file to write"),
    documents: int = typer.Option(4000, help="Number of documents"),
    seed: int = typer.Option(0, help="Decides all"),
) -> None:
    """Write documents, blank lines between them."""
    random = np.random.default_rng(seed)
    texts = (document(random) for _ in range(documents))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n\n".join(texts) + "\n", encoding="utf8")


def document(random: np.random.Generator) -> str:
    """Some sentences, one a line."""
    return "\n".join(sentence(random) for _ in range(SENTENCES_A_DOCUMENT))


def sentence(random: np.random.Generator) -> str:
    """Article, subject, verb, object and place of one kind, in one number."""
    subjects, verbs, objects, places = KINDS[random.choice(list(KINDS))]
    number = random.integers(2)
    article = ("this", "these")[number] if random.random() < 0.5 else "the"
    words = [
        article,
        subjects[random.integers(len(subjects))][number],
        verbs[random.integers(len(verbs))][number],
        objects[random.integers(len(objects))],
        places[random.integers(len(places))],
    ]
    return " ".join(words).capitalize() + "."


if __name__ == "__main__":
    typer.run(main)
