"""What benchmarks/rtd_detection.py measures on, and how it compares."""

from collections import Counter

import numpy as np
import pytest
import spacy

TEXT = (
    "the old child walked to the store and told a story about the weather in the town "
    "while her friends walk to the houses and the children talked about their house "
    "whether they talk or walked is not known to a friend of the family "
)


@pytest.fixture(scope="module")
def benchmark():
    import rtd_detection
    import rtd_scorers
    import rtd_texts

    return rtd_detection, rtd_scorers, rtd_texts


@pytest.fixture(scope="module")
def counts():
    return Counter(TEXT.split() * 5)


@pytest.fixture(scope="module")
def doc():
    return spacy.blank("en")("The old child walked to the store, and told her a story.")


def test_swapped_words_are_other_words(benchmark, counts, doc):
    _, _, texts = benchmark
    case = texts.WordSwaps(counts, seed=0).swap(doc, 0.3)
    changed = np.array([a.text != b.text for a, b in zip(doc, case.doc, strict=True)])
    assert (changed == case.wrong).all()
    assert case.wrong.sum() == 4
    assert (case.judged == np.array([t.is_alpha for t in doc])).all()
    assert case.doc[0].text.istitle()


def test_a_sentence_gets_a_misspelling_of_the_list(benchmark, counts, doc, tokenizer):
    _, _, texts = benchmark
    listed = {"walked": ["walkd", "waked"], "told": ["talked"], "elsewhere": ["x"]}
    made = texts.RealisticErrors(counts, tokenizer, 1, listed)
    found = {made.put(doc, "misspelling").doc.text for _ in range(20)}
    # "talked" is a word of the corpus, so "told" has no misspelling.
    assert found == {doc.text.replace("walked", w) for w in ("walkd", "waked")}


@pytest.mark.parametrize("kind", ["confusable", "function", "typo", "ocr"])
def test_a_sentence_gets_one_error(benchmark, counts, doc, tokenizer, kind):
    _, _, texts = benchmark
    made = texts.RealisticErrors(counts, tokenizer, seed=1)
    case = made.put(doc, kind)
    changed = [a.text != b.text for a, b in zip(doc, case.doc, strict=True)]
    assert changed == case.wrong.tolist() and sum(changed) == 1
    word = case.doc[int(case.wrong.argmax())].text.lower()
    assert (word in counts) == (kind in ("confusable", "function"))


def test_omitted_and_doubled_words(benchmark, counts, doc, tokenizer):
    _, _, texts = benchmark
    made = texts.RealisticErrors(counts, tokenizer, seed=1)
    words = [t.text for t in doc]
    case = made.put(doc, "omission")
    at = int(case.wrong.argmax())
    found = [t.text for t in case.doc]
    assert [*found[:at], words[at], *found[at:]] == words
    case = made.put(doc, "doubling")
    at = int(case.wrong.argmax())
    found = [t.text for t in case.doc]
    assert found[at] == found[at - 1]
    assert found[:at] + found[at + 1 :] == words


def test_a_dictionary_marks_what_it_does_not_know(benchmark, counts, doc):
    detection, scorers, _ = benchmark
    nlp = spacy.blank("en")
    docs = [nlp("the childs walked to the store , 12")]
    (scores,) = scorers.Dictionary(counts)(docs)
    assert np.flatnonzero(scores >= 0).tolist() == [1]
    figures = detection.false_marks(scorers.Dictionary(counts), docs)
    rates = {"per 1,000": pytest.approx(1000 / 6), "others per 1,000": 0.0}
    assert figures == {"words": 6, **rates}


def test_marked_punctuation_is_counted_apart_from_words(benchmark):
    detection, _, _ = benchmark

    class EveryToken:
        threshold = 0.5

        def __call__(self, docs):
            return [np.ones(len(doc)) for doc in docs]

    docs = [spacy.blank("en")("Well , she went at 12 .")]
    figures = detection.false_marks(EveryToken(), docs)
    assert figures == {"words": 4, "per 1,000": 1000.0, "others per 1,000": 750.0}


def test_pseudo_likelihood_is_that_of_one_hidden_word_at_a_time(benchmark):
    """Against a plain computation, word by word."""
    import torch

    from spacy_electra.pretraining.pairs import open_pair

    _, scorers, _ = benchmark
    scorer = scorers.PseudoLikelihood("en_tiny")
    doc = spacy.blank("en")("An unbelievable story")
    (scores,) = scorer([doc])
    pair = open_pair("en_tiny")
    words = [ids.tolist() for ids in pair.tokenizer.encode_ids([t.text for t in doc])]
    assert len(words[1]) > 1
    ids = [piece for word in words for piece in word]
    special = pair.tokenizer.cls_token_id, pair.tokenizer.sep_token_id
    start = 1
    for word, score in zip(words, scores, strict=True):
        hidden = [special[0], *ids, special[1]]
        hidden[start : start + len(word)] = [pair.tokenizer.mask_token_id] * len(word)
        with torch.no_grad():
            logits = pair.generator(torch.tensor([hidden])).logits[0]
        log_p = logits.log_softmax(-1)
        expected = -sum(log_p[start + i, p].item() for i, p in enumerate(word))
        assert score == pytest.approx(expected, rel=0.02)
        start += len(word)


def test_pairs_that_tie_count_half(benchmark):
    detection, _, _ = benchmark
    good, bad = np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.0, 2.0, 1.0, 4.0])
    figures = detection.preferred(good, bad, np.array(["a", "a", "b", "b"]))
    assert figures == {"all": 0.625, "a": 0.75, "b": 0.5}


def test_pages_say_what_was_measured():
    import rtd_tables
    import sections

    for file, name, text in rtd_tables.sections():
        assert sections.read_section(file, name) == text, f"{file}, {name}"


def test_a_section_takes_the_place_of_the_one_before(tmp_path):
    import sections

    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- b: begin -->\n\nold\n\n<!-- b: end -->\n\nC\n", "utf8")
    for _ in range(2):
        sections.write_section(page, "b", "| new |")
    assert sections.read_section(page, "b") == "| new |"
    text = page.read_text("utf8")
    assert text.startswith("# A\n") and text.endswith("\n\nC\n") and "old" not in text
    with pytest.raises(SystemExit):
        sections.write_section(page, "c", "| new |")
