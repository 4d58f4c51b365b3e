"""Stop with an error unless a pretrained pair has learned its grammar.

Two things are asked: the scores on unseen text, and whether `electra_rtd` gives a word
that does not belong a higher score than the one that does, in its place.
"""

from __future__ import annotations

from pathlib import Path

import spacy
import srsly
import typer
from wasabi import msg

# A sentence, the word that belongs, and one that does not.
PAIRS = [
    ("The baker {} a letter in the kitchen.", "writes", "burns"),
    ("These horses {} fresh grass in the meadow.", "eat", "eats"),
    ("These teachers {} the newspaper at school.", "buy", "buys"),
    ("The pumps {} hot steam under load.", "waste", "read"),
    ("The dogs hear a small bird near the {}.", "river", "factory"),
    ("The engine needs clean {} in the factory.", "oil", "letter"),
    ("This printer uses electric {} at full speed.", "power", "grass"),
    ("The {} smells the wild berries at night.", "fox", "robot"),
]


def main(
    scores: Path = typer.Argument(..., help="What `electra evaluate` wrote"),
    source: Path = typer.Argument(..., help="The discriminator"),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
    least_auc: float = typer.Option(0.8, help="On samples drawn by frequency"),
    least_pairs: int = typer.Option(6, help="Sentences that must come out right"),
) -> None:
    """Check scores and sentences."""
    auc = srsly.read_json(scores)["auc_frequency"]
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"source": str(source)}}})
    right = 0
    for sentence, belongs, does_not in PAIRS:
        low, high = (_score(nlp, sentence, words) for words in (belongs, does_not))
        right += high > low
        text = sentence.format(f"{belongs} / {does_not}")
        msg.text(f"{text:<64} {low:.3f} / {high:.3f}")
    srsly.write_json(metrics, {"auc_frequency": auc, "pairs_right": right})
    if auc < least_auc or right < least_pairs:
        msg.fail(
            f"Not learned: AUC {auc:.3f} (at least {least_auc}), {right} of "
            f"{len(PAIRS)} sentences right (at least {least_pairs})",
            exits=1,
        )
    msg.good(f"Learned: AUC {auc:.3f}, {right} of {len(PAIRS)} sentences right")


def _score(nlp: spacy.Language, sentence: str, words: str) -> float:
    """Probability that one of the words was replaced."""
    start = sentence.index("{}")
    doc = nlp(sentence.format(words))
    span = doc.char_span(start, start + len(words), alignment_mode="expand")
    assert span is not None
    return max(token._.rtd_score for token in span)


if __name__ == "__main__":
    typer.run(main)
