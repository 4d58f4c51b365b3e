"""The tables of README and of a card that say how well a checkpoint marks words.

From what rtd_detection.py writes: ``results/rtd_detection.json``,
``rtd_suggestions.json`` and ``rtd_misspellings.json``; tests compare the pages.

    python benchmarks/rtd_tables.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import srsly
import typer
from machine import RESULTS
from sections import CARDS, table, write_section

README = Path(__file__).parents[1] / "README.md"
PAGE = Path(__file__).parents[1] / "docs" / "rtd.md"
CARD = CARDS / "en_small.md"
Figures = dict[str, Any]
# Measures of each model, by what the pages call them.
Rows = dict[str, Callable[[Figures], str]]

MODELS = {
    "en_small": "`en_small`",
    "en_tiny": "`en_tiny`",
    "dictionary": "dictionary",
    "mlm:en_small": "masked LM, `en_small`",
    "mlm:en_tiny": "masked LM, `en_tiny`",
}
IN_README = ("en_tiny", "en_small", "dictionary", "mlm:en_small")
ERRORS = {
    "confusable": "confusable words",
    "inflection": "inflections",
    "function": "function words",
    "typo": "typing errors",
    "ocr": "misread characters",
    "omission": "a word left out",
    "doubling": "a word doubled",
}
DOMAINS = ("encyclopedia", "web", "stories", "reviews", "questions")
SUGGESTED = {
    "swap, held-out text": "words of like frequency swapped, held-out text",
    "swap, EWT test": "the same, web text (EWT test)",
    **{kind: ERRORS[kind] for kind in ("confusable", "inflection", "function")},
    **{kind: ERRORS[kind] for kind in ("typo", "ocr")},
}
LIKELIHOOD, PSEUDO = "log P(original)", "pseudo-likelihood"


def main() -> None:
    """Write them all."""
    for file, name, text in sections():
        write_section(file, name, text)


def sections() -> Iterator[tuple[Path, str, str]]:
    """File, name and text of each."""
    models, suggested, misspelled = (
        srsly.read_json(RESULTS / f"rtd_{name}.json")["models"]
        for name in ("detection", "suggestions", "misspellings")
    )
    small = models["en_small"]
    yield README, "marks", in_readme(models)
    yield CARD, "auc", by_model(models, MODELS, areas())
    yield CARD, "false marks", by_model(models, MODELS, false_marks(DOMAINS))
    yield CARD, "thresholds", thresholds(small)
    yield CARD, "pieces", pieces(small)
    yield CARD, "pairs", minimal_pairs(models)
    yield CARD, "misspellings", by_model(misspelled, misspelled, of_misspellings())
    yield PAGE, "suggestions", beside_the_generator(suggested)
    for name in ("en_small", "en_tiny"):
        suggestions = suggested[name]["suggestions"]
        yield CARDS / f"{name}.md", "suggestions", of_suggestions(suggestions)


def by_model(models: Figures, names: Sequence[str] | Figures, rows: Rows) -> str:
    """A column for each model."""
    cells = [
        [row, *(show(models[name]) for name in names)] for row, show in rows.items()
    ]
    return table(["", *(MODELS[name] for name in names)], cells)


def in_readme(models: Figures) -> str:
    """What matters most."""
    guessing = {PSEUDO: models["en_small"]["BLiMP"][PSEUDO]}
    masked = {**models["mlm:en_small"], "BLiMP": guessing}
    web, encyclopedia = false_marks(("web", "encyclopedia")).values()
    chosen = {f"{name}, AUC": show for name, show in areas().items()}
    del chosen["misread characters, AUC"], chosen["a word doubled, AUC"]
    chosen |= {
        "minimal pairs (BLiMP), % right": right_pairs,
        "false marks in 1,000 words of web text": web,
        "the same, encyclopedia": encyclopedia,
    }
    return by_model({**models, "mlm:en_small": masked}, IN_README, chosen)


def areas() -> Rows:
    """Areas under curves."""
    rows: Rows = {
        "words of like frequency swapped, web text (EWT test)": lambda of: (
            f"{of['swaps']['EWT test']['auc']:.3f}"
        ),
        "the same, held-out text": lambda of: (
            f"{of['swaps']['held-out text']['auc']:.3f}"
        ),
    }
    for kind, name in ERRORS.items():
        rows[name] = lambda of, kind=kind: f"{of['errors'][kind]['auc']:.3f}"
    rows["learners' errors (REALEC), zero-shot"] = lambda of: (
        f"{of['REALEC']['auc']:.3f}"
    )
    return rows


def false_marks(domains: Sequence[str]) -> Rows:
    """False marks in 1,000 clean words."""
    return {
        domain: lambda of, domain=domain: (
            f"{of['false marks'][domain]['per 1,000']:.1f}"
        )
        for domain in domains
    }


def of_misspellings() -> Rows:
    """Of misspellings that people make."""
    return {
        title: lambda of, name=name: f"{of['errors']['misspelling'][name]:.3f}"
        for title, name in (
            ("AUC", "auc"),
            *((name, name) for name in ("precision", "recall")),
        )
    }


def right_pairs(model: Figures) -> str:
    """Of minimal pairs, by what a model of that kind says of a sentence."""
    ways = model.get("BLiMP", {})
    way = next((way for way in (LIKELIHOOD, PSEUDO) if way in ways), None)
    return "–" if way is None else _percent(ways[way]["all"])


def thresholds(model: Figures) -> str:
    """Precision and recall by threshold, web text beside held-out text."""
    header = ["threshold, swaps of EWT test", "precision", "recall", "F0.5"]
    swaps = model["swaps"]
    pairs = zip(
        swaps["EWT test"]["thresholds"],
        swaps["held-out text"]["thresholds"],
        strict=True,
    )
    rows = [
        [
            f"{web['threshold']:.1f}",
            *(f"{web[name]:.3f}" for name in ("precision", "recall", "f05")),
            *(f"{held_out[name]:.3f}" for name in ("precision", "recall")),
        ]
        for web, held_out in pairs
    ]
    return table([*header, "held-out text: precision", "recall"], rows)


def pieces(model: Figures) -> str:
    """AUC by how many pieces a word has."""
    rows = [
        [str(of["pieces"]), f"{of['words']:,}", f"{of['auc']:.3f}"]
        for of in model["by pieces"]
    ]
    return table(["pieces of a word, held-out text", "words", "AUC"], rows)


def minimal_pairs(models: Figures) -> str:
    """Shares of right ones, by the way to score a sentence."""
    small, tiny = models["en_small"]["BLiMP"], models["en_tiny"]["BLiMP"]

    def row(name: str, ways: Figures, phenomenon: str) -> list[str]:
        return [name, *(_percent(own[phenomenon]) for own in ways.values())]

    rows = [
        row("`en_tiny`, all", tiny, "all"),
        row("**`en_small`, all**", small, "all"),
    ]
    for phenomenon in small[LIKELIHOOD]:
        if phenomenon != "all":
            rows.append(row(phenomenon.replace("_", " "), small, phenomenon))
    return table(["", *small], rows)


def of_suggestions(figures: Figures) -> str:
    """How often the original word is among the first 1 / 3 / 10."""
    ways = {
        "all": "all",
        "of marked": "of marked",
        "context alone": "generator alone",
    }
    rows = [
        [
            name,
            str(figures[kind]["words"]),
            *(_ranks(figures[kind][way]) for way in ways),
        ]
        for kind, name in SUGGESTED.items()
    ]
    return table(["", "words", *ways.values()], rows)


def beside_the_generator(models: Figures) -> str:
    """The same for both checkpoints, all words, beside their generators."""
    header = [""]
    columns = []
    for model in ("en_small", "en_tiny"):
        header += [MODELS[model], "generator alone"]
        own = models[model]["suggestions"]
        columns += [(own, "all"), (own, "context alone")]
    rows = [
        [name, *(_ranks(figures[kind][way]) for figures, way in columns)]
        for kind, name in SUGGESTED.items()
    ]
    return table(header, rows)


def _ranks(shares: Figures) -> str:
    return " / ".join(f"{100 * shares[number]:.0f}" for number in ("1", "3", "10"))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    typer.run(main)
