import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_electra.models import PackedBatch
from spacy_electra.pretraining.error_samplers import (
    KINDS,
    ErrorMixture,
)
from spacy_electra.pretraining.lexicon import PART_OF_A_WORD, UNKNOWN, Lexicon
from spacy_electra.pretraining.misspellings import misread, misspell
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.vocabulary import train_vocabulary

SENTENCES = (
    "they went to the store and told a story about the storm",
    "the child goes to the house in the old town and sees the children",
    "he walks and walked while she was walking to the houses",
    "a man talks and talked about the weather whether it was talking or not",
    "except for a moth they accept it each month in the mouth of the river",
    "there is their three in these theme parks and where they were here",
    "i don't know it's the well-known end of a week",
)
ODD = "riverstorm"
LISTED = {"weather": ["wether", "whether"], "house": ["hous"]}


@pytest.fixture(scope="module")
def tokenizer():
    return train_vocabulary(SENTENCES * 4, vocab_size=200)


@pytest.fixture(scope="module")
def lexicon(tokenizer):
    ids = np.concatenate(tokenizer.encode_ids(list(SENTENCES) * 4))
    return Lexicon.count(ids, tokenizer)


@pytest.fixture(scope="module")
def mixture_of(lexicon):
    made = {}

    def make(*kinds, share=1.0):
        key = (kinds, share)
        if key not in made:
            weights = dict.fromkeys(kinds, 1.0)
            made[key] = ErrorMixture(lexicon, weights, share, LISTED)
        return made[key]

    return make


def batch_of(tokenizer, texts):
    return PackedBatch.from_sequences(
        [torch.from_numpy(np.array(tokenizer(text).ids)) for text in texts]
    )


def random_with(seed):
    return torch.Generator().manual_seed(seed)


def parts_of(changed):
    """Ids and kinds of each sequence."""
    lengths = list(changed.batch.lengths)
    return list(
        zip(
            changed.batch.input_ids.split(lengths),
            changed.kinds.split(lengths),
            strict=True,
        )
    )


TEXTS = st.lists(
    st.lists(
        st.sampled_from([*" ".join(SENTENCES).split(), ODD, ".", "1990"]),
        max_size=12,
    ).map(" ".join),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(
    texts=TEXTS,
    seed=st.integers(0, 999),
    kinds=st.sets(st.sampled_from(KINDS), min_size=1),
)
def test_labels_mark_what_changed_and_nothing_else(
    tokenizer, mixture_of, texts, seed, kinds
):
    batch = batch_of(tokenizer, texts)
    mixture = mixture_of(*sorted(kinds))
    changed = mixture(batch, random_with(seed))
    new = changed.batch
    assert sum(new.lengths) == len(new.input_ids) == len(changed.labels)
    assert len(new.lengths) == len(batch.lengths)
    assert torch.equal(changed.labels, changed.kinds >= 0)
    positions = torch.cat([torch.arange(n) for n in new.lengths])
    assert torch.equal(new.position_ids, positions)
    # The first and last piece of each sequence stay, and are no error.
    for ids, own in parts_of(changed):
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert own[0] == -1 and own[-1] == -1
    # Without the errors it is the original without the words that have them.
    originals = batch.input_ids.split(list(batch.lengths))
    for (ids, own), before in zip(parts_of(changed), originals, strict=True):
        assert is_within(ids[own < 0].tolist(), before.tolist())
        if not bool((own >= 0).any()):
            assert torch.equal(ids, before)
    # A replacement differs, and what stood there is what it says.
    assert changed.labels[changed.rows].all()
    remaining = np.zeros(tokenizer.vocab_size, dtype=int)
    np.add.at(remaining, batch.input_ids.numpy(), 1)
    np.subtract.at(remaining, changed.originals.numpy(), 1)
    assert (remaining >= 0).all()


def is_within(part, whole):
    """Whether a list is another with some elements left out."""
    rest = iter(whole)
    return all(element in rest for element in part)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 999))
def test_words_of_like_frequency_differ_at_every_piece_row(
    tokenizer, mixture_of, texts, seed
):
    batch = batch_of(tokenizer, texts)
    changed = mixture_of("word")(batch, random_with(seed))
    words = mixture_of("word").lexicon
    before = [words.find(s.numpy()) for s in batch.input_ids.split(list(batch.lengths))]
    for (ids, own), found in zip(parts_of(changed), before, strict=True):
        after = words.find(ids.numpy())
        # Word for word: as many as before, and exactly the labelled ones are others.
        assert len(after.starts) == len(found.starts)
        marked = own.numpy()[after.starts] >= 0
        known = found.known >= 0
        assert not marked[~known].any()
        assert ((after.known != found.known) == marked)[known].all()


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 999))
def test_errors_are_a_function_of_the_seed(tokenizer, mixture_of, texts, seed):
    batch = batch_of(tokenizer, texts)
    mixture = mixture_of(*KINDS)
    one, other = (mixture(batch, random_with(seed)) for _ in range(2))
    assert torch.equal(one.batch.input_ids, other.batch.input_ids)
    assert torch.equal(one.kinds, other.kinds)
    assert torch.equal(one.originals, other.originals)


def test_another_mixture_of_the_same_corpus_makes_the_same_errors(tokenizer, lexicon):
    batch = batch_of(tokenizer, SENTENCES)
    weights = dict.fromkeys(KINDS, 1.0)
    changed = [
        ErrorMixture(lexicon, weights, 1.0)(batch, random_with(4)) for _ in range(2)
    ]
    assert torch.equal(changed[0].batch.input_ids, changed[1].batch.input_ids)


def candidates(mixture, kind, word):
    lexicon, table = mixture.lexicon, mixture.tables[kind]
    number = lexicon.words.index(word)
    entries = table.entries[table.offsets[number] : table.offsets[number + 1]]
    return {lexicon.words[entry] for entry in entries if entry < len(lexicon)}


def test_confusable_words(mixture_of):
    mixture = mixture_of("confusable")
    assert {"store", "storm"} <= candidates(mixture, "confusable", "story")
    assert "moth" in candidates(mixture, "confusable", "month")
    assert "except" in candidates(mixture, "confusable", "accept")
    assert "weather" in candidates(mixture, "confusable", "whether")
    assert "their" in candidates(mixture, "confusable", "there")
    assert "river" not in candidates(mixture, "confusable", "story")
    assert "story" not in candidates(mixture, "confusable", "story")


def test_inflected_words_share_a_stem():
    stems = [a + b for a in "bcdfgklmnp" for b in ("ark", "oil", "end", "ist")]
    forms = [stem + ending for stem in stems for ending in ("", "s", "ed", "ing")]
    texts = [" ".join(["child children go goes river", *forms])] * 4
    tokenizer = train_vocabulary(texts, vocab_size=800)
    lexicon = Lexicon.count(np.concatenate(tokenizer.encode_ids(texts)), tokenizer)
    assert {"barks", "parked", "child"} <= set(lexicon.words)
    mixture = ErrorMixture(lexicon, {"inflection": 1.0}, 1.0)
    own = candidates(mixture, "inflection", "park")
    assert own == {"parks", "parked", "parking"}
    assert candidates(mixture, "inflection", "children") == {"child"}
    assert candidates(mixture, "inflection", "river") == set()


def test_function_words_are_frequent_ones(mixture_of, lexicon):
    mixture = mixture_of("function")
    own = candidates(mixture, "function", "the")
    assert {"a", "in", "and", "to"} <= own and "the" not in own


def test_a_doubled_word_is_marked_the_second_time(tokenizer, mixture_of):
    batch = batch_of(tokenizer, SENTENCES * 3)
    changed = mixture_of("doubling")(batch, random_with(1))
    places = changed.labels.nonzero().squeeze(-1)
    assert len(places) > 10
    assert len(changed.batch.input_ids) == len(batch.input_ids) + len(places)
    kept = changed.batch.input_ids[~changed.labels]
    assert torch.equal(kept, batch.input_ids)
    assert not len(changed.rows)


def test_the_word_after_an_omitted_one_is_marked(tokenizer, mixture_of, lexicon):
    batch = batch_of(tokenizer, ["the old man in the house"] * 40)
    changed = mixture_of("omission")(batch, random_with(2))
    words = set()
    for ids, own in parts_of(changed):
        text = tokenizer.convert_ids_to_tokens(ids.tolist())[1:-1]
        kinds = own.tolist()[1:-1]
        words.add((" ".join(text), tuple(kind >= 0 for kind in kinds)))
    assert ("old man in the house", (True, False, False, False, False)) in words
    assert ("the old man the house", (False, False, False, True, False)) in words
    # Nothing comes after the last one that could be marked.
    assert all("house" in text for text, _ in words)


def test_a_word_that_is_too_many_is_frequent_and_marked(tokenizer, mixture_of, lexicon):
    batch = batch_of(tokenizer, SENTENCES * 3)
    changed = mixture_of("insertion")(batch, random_with(1))
    kept = changed.batch.input_ids[~changed.labels]
    assert torch.equal(kept, batch.input_ids)
    assert not len(changed.rows)
    new = lexicon.find(changed.batch.input_ids.numpy())
    inserted = new.known[changed.labels.numpy()[new.starts]]
    assert len(inserted) > 20
    # More often frequent words, all of which are in the lexicon.
    assert (inserted >= 0).all()
    assert (inserted < len(lexicon) // 2).mean() > 0.6


def test_words_in_the_wrong_order_are_both_marked(tokenizer, mixture_of):
    batch = batch_of(tokenizer, ["the old man in the house"] * 60)
    changed = mixture_of("order")(batch, random_with(2))
    texts = set()
    for ids, own in parts_of(changed):
        text = tokenizer.decode(ids.tolist(), skip_special_tokens=True)
        texts.add((text, tuple((own >= 0).tolist()[1:-1])))
    no, yes = False, True
    assert ("old the man in the house", (yes, yes, no, no, no, no)) in texts
    assert ("old the in man the house", (yes, yes, yes, yes, no, no)) in texts
    assert all(sorted(text) == sorted("the old man in the house") for text, _ in texts)
    assert not len(changed.rows)


@pytest.fixture(scope="module")
def essays():
    """Texts with punctuation, and a mixture of each kind that needs company."""
    texts = [
        "the old man, who went to the house, saw the river.",
        "in the house, which stood by the river, a man sat; he saw the sea.",
        "he went to the sea, and saw a man in the old house.",
        "a man who saw the house went in, and sat by the sea.",
    ]
    tokenizer = train_vocabulary(texts * 4, vocab_size=200)
    lexicon = Lexicon.count(np.concatenate(tokenizer.encode_ids(texts * 4)), tokenizer)
    return tokenizer, lexicon, texts


def with_errors(essays, kind, texts, times=40):
    """Pieces of texts with errors of a kind, and which of them are marked."""
    tokenizer, lexicon, _ = essays
    batch = batch_of(tokenizer, list(texts) * times)
    changed = ErrorMixture(lexicon, {kind: 1.0}, 0.5)(batch, random_with(3))
    for ids, own in parts_of(changed):
        yield tokenizer.convert_ids_to_tokens(ids.tolist())[1:-1], own[1:-1] >= 0


def test_what_stands_before_a_word_is_counted(essays):
    _, lexicon, _ = essays
    names = [*lexicon.words, *lexicon.tokenizer.convert_ids_to_tokens(lexicon.marks)]
    counts = {(names[one], names[two]): n for one, two, n in lexicon.pairs.tolist()}
    assert counts["the", "house"] == 12 and counts["a", "man"] == 12
    assert counts[",", "and"] == 8 and counts[";", "he"] == 4
    assert ("man", ",") not in counts and ("river", ".") not in counts


def test_a_word_gives_way_to_another_that_stands_before_the_next_one(essays):
    _, _, texts = essays
    swapped = set()
    for tokens, marked in with_errors(essays, "lead", texts):
        for place in marked.nonzero().flatten().tolist():
            swapped.add(tuple(tokens[place : place + 2]))
    # Of what stands before "house" in these texts are only "the" and "old".
    assert {first for first, second in swapped if second == "house"} <= {"the", "old"}
    assert {("the", "man"), ("old", "man")} & swapped
    assert all(not first.startswith("##") for first, _ in swapped)


def test_a_needless_word_is_one_that_often_stands_there(essays):
    _, lexicon, texts = essays
    seen = {tuple(pair) for pair in lexicon.pairs[:, :2].tolist()}
    number = 0
    for tokens, marked in with_errors(essays, "needless", texts):
        for place in marked.nonzero().flatten().tolist():
            pair = tuple(lexicon.words.index(t) for t in tokens[place : place + 2])
            assert pair in seen
            number += 1
    assert number > 40


def test_punctuation_is_another_is_left_out_or_is_too_much(essays):
    made = set()
    text = "the old man, who saw the sea, sat."
    for tokens, marked in with_errors(essays, "punctuation", [text], 400):
        wrong = [t for t, m in zip(tokens, marked.tolist(), strict=True) if m]
        made.add((" ".join(tokens), *wrong))
    assert ("the old man ; who saw the sea , sat .", ";") in made
    assert ("the old man who saw the sea , sat .", "who") in made
    assert ("the old man , who saw the sea , , sat .", ",") not in made
    # A mark stands before a word that follows one somewhere, as "old" never does.
    assert ("the old man , who , saw the sea , sat .", ",") in made
    assert not any(f"{mark} old" in text for mark in ",.;" for text, *_ in made)
    # A last mark has nothing after it that could be marked, so it is never left out.
    assert all(text.split()[-1] in ".,;" for text, *_ in made)
    kept = {text for text, *wrong in made if not wrong}
    assert kept == {"the old man , who saw the sea , sat ."}


def test_without_the_kind_punctuation_stays(essays):
    tokenizer, lexicon, texts = essays
    others = {kind: 1.0 for kind in KINDS if kind != "punctuation"}
    batch = batch_of(tokenizer, texts * 30)
    changed = ErrorMixture(lexicon, others, 0.5)(batch, random_with(0))
    for mark in tokenizer.convert_tokens_to_ids([",", ".", ";"]):
        number = int((batch.input_ids == mark).sum())
        assert int((changed.batch.input_ids == mark).sum()) == number


def test_parts_of_words_are_left_alone(tokenizer, mixture_of, lexicon):
    text = "don't it's well-known"
    found = lexicon.find(batch_of(tokenizer, [text]).input_ids.numpy())
    assert (found.known == PART_OF_A_WORD).all()
    changed = mixture_of(*KINDS)(batch_of(tokenizer, [text]), random_with(0))
    assert not changed.labels.any()


def test_unknown_words_are_left_alone(tokenizer, lexicon):
    ids = batch_of(tokenizer, [f"{ODD} the"]).input_ids.numpy()
    known = lexicon.find(ids).known.tolist()
    assert known[1] == UNKNOWN and known[2] == lexicon.words.index("the")
    assert known[0] == known[-1] == PART_OF_A_WORD


def test_share_of_wrong_words(tokenizer, mixture_of):
    batch = batch_of(tokenizer, SENTENCES[:6] * 200)
    mixture = mixture_of("word", share=0.25)
    changed = mixture(batch, random_with(0))
    words = mixture.lexicon.find(batch.input_ids.numpy())
    after = mixture.lexicon.find(changed.batch.input_ids.numpy())
    wrong = changed.labels.numpy()[after.starts]
    assert wrong[words.known >= 0].mean() == pytest.approx(0.125, abs=0.01)
    clean = [not bool((own >= 0).any()) for _, own in parts_of(changed)]
    assert 0.1 < np.mean(clean) < 0.6


def test_kinds_occur_as_often_as_their_weights_say(tokenizer, lexicon):
    mixture = ErrorMixture(lexicon, {"word": 3.0, "function": 1.0}, 1.0)
    batch = batch_of(tokenizer, ["the in a to and of"] * 600)
    kinds = mixture(batch, random_with(0)).kinds
    words, function = (int((kinds == number).sum()) for number in (0, 1))
    assert words / (words + function) == pytest.approx(0.75, abs=0.04)


def test_an_empty_batch_and_empty_sequences(tokenizer, mixture_of):
    mixture = mixture_of(*KINDS)
    empty = PackedBatch.from_sequences([])
    assert not len(mixture(empty, random_with(0)).batch.input_ids)
    batch = batch_of(tokenizer, ["", ""])
    changed = mixture(batch, random_with(0))
    assert torch.equal(changed.batch.input_ids, batch.input_ids)
    assert not changed.labels.any()


@settings(max_examples=100, deadline=None)
@given(word=st.text("abcdefghijklmnopqrstuvwxyz", min_size=3), seed=st.integers(0, 99))
def test_misspellings_are_one_slip_away(word, seed):
    random = np.random.default_rng(seed)
    for make in (misspell, misread):
        made = make(word, "abc", random)
        assert abs(len(made) - len(word)) <= 1
        assert distance(word, made) <= 2


def distance(one, other):
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, previous + (a != b)),
            )
    return row[-1]


def test_misspellings_are_no_words(tokenizer, lexicon):
    pieces = lexicon.pieces
    mixture = ErrorMixture(lexicon, {"typo": 1.0, "ocr": 1.0}, 1.0)
    made = set()
    for start, size in zip(mixture.entry_starts, mixture.entry_sizes, strict=True):
        made.add(tokenizer.decode(mixture.entry_pieces[start : start + size].tolist()))
    words = set(lexicon.words)
    assert len(made) > 2 * len(words)
    table = mixture.tables["typo"]
    assert (table.entries >= len(pieces)).all()


def test_words_of_a_vocabulary_of_thousands():
    source = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    ids = source.encode_ids(["the extraordinarily unbelievable thing"] * 4)
    lexicon = Lexicon.count(np.concatenate(ids), source)
    assert "the" in lexicon.words and "thing" in lexicon.words


def test_listed_misspellings_take_the_place_of_the_words_they_are_of(
    tokenizer, lexicon, mixture_of
):
    batch = batch_of(tokenizer, ["the weather in the house", "the river of the town"])
    mixture = mixture_of("misspelling")
    for seed in range(20):
        changed = mixture(batch, random_with(seed))
        texts = [tokenizer.decode(ids.tolist()) for ids, _ in parts_of(changed)]
        words = set(" ".join(texts).split())
        # "whether" is a word of the corpus, and no misspelling of it.
        assert words <= {
            *("the", "weather", "wether", "in", "house", "hous", "river", "of", "town"),
            *("[CLS]", "[SEP]"),
        }
        assert changed.labels.any() == bool({"wether", "hous"} & words)
    assert mixture_of("typo").tables.keys() == {"typo"}
    frequent = Lexicon(
        ["weather", "whether"],
        np.array([500, 5]),
        [lexicon.pieces[lexicon.words.index(w)] for w in ("weather", "whether")],
        tokenizer,
    )
    table = ErrorMixture(frequent, {"misspelling": 1.0}, 1.0, LISTED).tables
    assert len(table["misspelling"].entries) == 2
