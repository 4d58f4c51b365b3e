import pytest

from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.coverage import measure_coverage


def test_coverage_counts_words():
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "."]
    tokenizer = ElectraTokenizer({piece: n for n, piece in enumerate(vocab)})
    figures = measure_coverage(["The cats. [MASK]", "", "the 猫 ."], tokenizer)
    assert (figures.words, figures.whole, figures.unknown) == (7, 5, 1)
    assert figures.pieces == 8
    assert figures.coverage == pytest.approx(5 / 7)
    assert figures.unknown_rate == pytest.approx(1 / 7)
