"""What a table of calibration looks like: in the terminal, in a card, as a picture."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from sections import CARDS, table
from wasabi import msg

from spacy_electra.files import whole_file
from spacy_electra.metrics import Reliability
from spacy_electra.pipeline.calibration.table import Calibration

ALL = "all"
RATES = (1.0, 2.0, 5.0, 10.0)
FEWEST_IN_A_BIN = 10
Figures = dict[str, Any]
SECTION = """\
`calibration.json` beside the weights has the thresholds for `false_marks_per_1000`, by
domain ([docs/rtd.md](../rtd.md#what-a-mark-is-worth)); `all` is the default. They come
from {domain_words} words of each domain, the web's from UD English EWT dev. The
table has each threshold and what it gives on other text, the web's on EWT test: false
marks in 1,000 words, and the 95 % interval of a count of so many.

{false_marks}

Of {words:,} words of that other text {error_rate:.1f} % are wrong: every other sentence
has one error, a word swapped, confused, inflected, misspelled, misread, left out or
doubled. What the thresholds of `all` find of them, and how many of the marks are right:

{found}

**Probabilities.** `calibrated = true` divides log-odds by a temperature of
{temperature:.3f} and adds {bias:.3f} (Guo et al., 2017; Platt, 1999), fitted on
{scale_words:,} words, {scale_rate:.1f} % of them wrong. A likelihood-ratio test says
that the bias is {need}. On the other text, expected calibration error in 15 bins and
mean loss:

{scores}

![Share of wrong words by score, before and after]({name}_reliability.png)

`python benchmarks/calibration.py corpus/small/held_out.jsonl corpus/text --data data
--model {name}`"""


def report(name: str, figures: Figures) -> None:
    """Print the tables."""
    msg.divider(name)
    for rows in (_false_marks(figures), _found(figures), _scores(figures)):
        print(rows, end="\n\n")


def section(name: str, table: Calibration, figures: Figures) -> str:
    """What the card says."""
    scale = table.scores
    assert scale is not None
    numbers = [own.words for domain, own in table.domains.items() if domain != ALL]
    return SECTION.format(
        name=name,
        domain_words=f"{min(numbers):,} to {max(numbers):,}",
        false_marks=_false_marks(figures),
        words=figures["words"],
        error_rate=100 * figures["error rate"],
        found=_found(figures),
        temperature=scale.temperature,
        bias=scale.bias,
        scale_words=scale.words,
        scale_rate=100 * scale.error_rate,
        need="needed" if scale.bias else "not needed",
        scores=_scores(figures),
    )


def draw(name: str, before: Reliability, after: Reliability) -> None:
    """The reliability curve of scores as they come, and calibrated."""
    figure = Figure(figsize=(4.5, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=0.8)
    for label, bins in (("as they come", before), ("calibrated", after)):
        used = bins.counts >= FEWEST_IN_A_BIN
        label += f", ECE {bins.expected_error:.3f}"
        axes.plot(bins.predicted[used], bins.observed[used], marker=".", label=label)
    axes.set(xlabel="score", ylabel="share of wrong words", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    with whole_file(CARDS / f"{name}_reliability.png") as partial:
        figure.savefig(partial, dpi=120, format="png")


def _false_marks(figures: Figures) -> str:
    header = ["domain \\ wished rate", *(f"{rate:g}" for rate in RATES)]
    rows = []
    for domain, own in figures["false marks"].items():
        cells = [
            f"{at['threshold']:.3f}: {at['per 1,000']:.1f} "
            f"({at['from']:.1f} to {at['to']:.1f})"
            for at in own.values()
        ]
        rows.append([domain, *cells])
    return table(header, rows)


def _found(figures: Figures) -> str:
    rows = [
        [name, *(f"{own[name]:.3f}" for own in figures["found"].values())]
        for name in ("recall", "precision")
    ]
    return table(["wished rate", *(f"{rate:g}" for rate in RATES)], rows)


def _scores(figures: Figures) -> str:
    rows = [
        [name, f"{own['ECE']:.4f}", f"{own['loss']:.4f}"]
        for name, own in figures["scores"].items()
    ]
    return table(["scores", "ECE", "loss, nats"], rows)
