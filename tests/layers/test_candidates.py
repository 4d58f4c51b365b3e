"""Words for places of texts, against Transformers' network asked one by one."""

import itertools
from functools import cache

import numpy as np
import pytest
import spacy
import torch
import transformers
from spacy.tokens import Doc

from spacy_electra.layers import language_model
from spacy_electra.layers.candidates import (
    Place,
    find_candidates,
    masks_of,
    places_of_tokens,
    word_pieces,
)
from spacy_electra.layers.language_model import LanguageModel
from spacy_electra.models import ElectraConfig, ElectraForMaskedLM
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import align

GENERATOR = resolve_source("en_tiny/generator")
TEXT = "The old man walked slowly down the road, thinking of his brother."
# Some words are in the vocabulary whole, others only in parts.
WORDS = "the a cat dog sat , . 5 don ' t can did un able play playing k m s"
INNER = "##able ##ing ##s ##km ##ed ##n"
SPECIAL = "[PAD] [UNK] [CLS] [SEP] [MASK] [unused0]"
VOCABULARY = f"{SPECIAL} {WORDS} {INNER}".split()


@pytest.fixture(scope="module")
def theirs():
    return transformers.ElectraForMaskedLM.from_pretrained(GENERATOR).eval()


@pytest.fixture(scope="module")
def model(tokenizer):
    network = ElectraForMaskedLM.from_pretrained(GENERATOR)
    return LanguageModel.from_network(network, tokenizer)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    """A random network whose vocabulary is small enough to try all words."""
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=len(VOCABULARY),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=24,
        initializer_range=0.8,
    )
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = ElectraTokenizer({piece: n for n, piece in enumerate(VOCABULARY)})
    tokenizer.save_pretrained(folder)
    ElectraForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    network = ElectraForMaskedLM.from_pretrained(tiny_folder)
    tokenizer = ElectraTokenizer.from_pretrained(tiny_folder)
    return LanguageModel.from_network(network, tokenizer)


@pytest.fixture(scope="module")
def ask(tiny_folder):
    """Log-probabilities by Transformers of all pieces at a position of a sequence."""
    network = transformers.ElectraForMaskedLM.from_pretrained(tiny_folder).eval()

    @cache
    def log_probabilities(ids, position):
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0, position]
        return logits.log_softmax(-1).tolist()

    return log_probabilities


def token_places(model, text, *tokens):
    doc = spacy.blank("en")(text)
    return places_of_tokens([doc[i] for i in tokens], model.tokenizer)


def words(candidates):
    return [word for word, _ in candidates]


def test_words_of_one_piece_are_those_of_fill_mask(model, theirs):
    fill = transformers.pipeline(
        "fill-mask",
        model=theirs,
        tokenizer=transformers.ElectraTokenizerFast.from_pretrained(GENERATOR),
        top_k=1000,
    )
    masked = TEXT.replace("road", "[MASK]")
    expected = [
        (found["token_str"], found["score"])
        for found in fill(masked)
        if not found["token_str"].startswith(("##", "["))
    ][:20]
    (place,) = token_places(model, TEXT, 7)
    (by_token,) = find_candidates(model, [place], 20)
    (pieces,) = align([spacy.blank("en")(masked)], model.tokenizer)
    ((index, mask),) = masks_of(pieces, model.tokenizer)
    (by_mask,) = find_candidates(model, [mask], 20)
    assert masked[slice(*pieces.offsets[index])] == "[MASK]"
    for found in (by_token, by_mask):
        assert words(found) == words(expected)
        assert [p for _, p in found] == pytest.approx(
            [p for _, p in expected], rel=1e-4
        )


def test_words_of_several_pieces_are_the_best_of_all_words(tiny, tiny_folder, ask):
    text = "the [MASK] sat , the cat playing"
    theirs = transformers.ElectraTokenizerFast.from_pretrained(tiny_folder)
    text_ids = theirs(text)["input_ids"]
    place = text_ids.index(theirs.mask_token_id)
    inner = [n for n, piece in enumerate(VOCABULARY) if piece.startswith("##")]
    begin = set(range(6, len(VOCABULARY))) - set(inner)
    expected = {}
    for length in (1, 2, 3):
        masked = [
            *text_ids[:place],
            *[theirs.mask_token_id] * length,
            *text_ids[place + 1 :],
        ]
        for pieces in itertools.product(begin, *[inner] * (length - 1)):
            word = "".join(VOCABULARY[n].removeprefix("##") for n in pieces)
            if theirs(word, add_special_tokens=False)["input_ids"] != list(pieces):
                continue
            ids, score = list(masked), 0.0
            for step, piece in reversed([*enumerate(pieces)]):
                score += ask(tuple(ids), place + step)[piece]
                ids[place + step] = piece
            expected[word] = score
    assert "playing" in expected
    assert "unable" in expected
    assert "plays" in expected
    ranked = sorted(expected, key=expected.get, reverse=True)
    mask = Place(np.array(text_ids[1:-1]), place - 1, place)
    (found,) = find_candidates(tiny, [mask], 30, max_pieces=3, beam=99)
    assert words(found) == ranked[:30]
    for word, probability in found:
        assert np.log(probability) == pytest.approx(expected[word], abs=1e-4)


def test_a_narrow_beam_finds_what_is_likely_and_no_score_is_wrong(tiny):
    places = token_places(tiny, "the cat sat , the dog", 0, 1, 4)
    wide = find_candidates(tiny, places, 40, max_pieces=3, beam=99)
    narrow = find_candidates(tiny, places, 40, max_pieces=3, beam=2)
    for all_words, found in zip(wide, narrow, strict=True):
        assert words(found)[:3] == words(all_words)[:3]
        expected = dict(all_words)
        known = [(word, p) for word, p in found if word in expected]
        assert len(known) > 20
        assert [p for _, p in known] == pytest.approx(
            [expected[word] for word, _ in known], rel=1e-4
        )


def test_places_are_each_on_their_own_whatever_stands_beside_them(model):
    places = token_places(model, TEXT, 1, 7, 12)
    together = find_candidates(model, places, 5, max_pieces=2)
    for place, found in zip(places, together, strict=True):
        (alone,) = find_candidates(model, [place], 5, max_pieces=2)
        assert words(alone) == words(found)
        assert [p for _, p in alone] == pytest.approx([p for _, p in found], rel=1e-4)


def test_no_special_and_no_inner_piece_is_a_word(tiny):
    vocabulary = word_pieces(tiny.tokenizer)
    strings = vocabulary.strings
    assert set(strings[~vocabulary.whole & ~vocabulary.inner]) == {
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[unused0]",
    }
    assert set(strings[vocabulary.whole & ~vocabulary.open]) == {",", ".", "'"}
    (found,) = find_candidates(tiny, token_places(tiny, "the cat", 1), 1000)
    assert sorted(words(found)) == sorted(strings[vocabulary.whole])


def test_upper_case_is_no_word_where_the_tokenizer_lower_cases():
    pieces = [*VOCABULARY, "Cat", "É"]
    vocab = {piece: n for n, piece in enumerate(pieces)}
    uncased = word_pieces(ElectraTokenizer(vocab))
    cased = word_pieces(ElectraTokenizer(vocab, do_lower_case=False))
    assert [bool(uncased.whole[vocab[p]]) for p in ("cat", "Cat", "É")] == [1, 0, 0]
    assert [bool(cased.whole[vocab[p]]) for p in ("cat", "Cat", "É")] == [1, 1, 1]


def test_a_piece_shared_with_a_neighbour_keeps_its_characters(tiny):
    # "can", "'", "t" are the pieces of "ca" and "n't".
    (place,) = token_places(tiny, "the cat can't", 2)
    assert (place.before, place.after) == ("", "n")
    (found,) = find_candidates(tiny, [place], 99, max_pieces=2, beam=99)
    in_full = {f"{word}n" for word in words(found)}
    assert {"can", "don", "unn", "catn"} <= in_full
    assert all(tiny.tokenizer.encode_ids([word])[0].tolist() != [1] for word in in_full)
    (other,) = token_places(tiny, "the cat can't", 3)
    assert (other.start, other.end, other.before, other.after) == (2, 5, "ca", "")


def test_a_token_inside_of_a_word_gets_what_can_stand_there(tiny):
    # "5", "##km" for the tokenizer; "5" and "km" for spaCy.
    number, unit = token_places(tiny, "the 5km", 1, 2)
    (numbers, units) = find_candidates(tiny, [number, unit], 99)
    vocabulary = word_pieces(tiny.tokenizer)
    assert set(words(numbers)) == set(vocabulary.strings[vocabulary.open])
    assert set(words(units)) == set(vocabulary.strings[vocabulary.inner])


def test_long_texts_are_seen_through_a_window_around_the_place(tiny, ask):
    sentence = "the cat sat , the dog can play ."
    text = " ".join([sentence] * 10)
    doc = spacy.blank("en")(text)
    index = 40
    (place,) = places_of_tokens([doc[index]], tiny.tokenizer)
    (found,) = find_candidates(tiny, [place], 3)
    pieces = tiny.tokenizer(text, add_special_tokens=False).ids.tolist()
    assert len(pieces) == len(doc)
    # 24 positions: [CLS], 10 pieces, [MASK], 11 pieces, [SEP].
    ids = [2, *pieces[index - 10 : index], 4, *pieces[index + 1 : index + 12], 3]
    expected = ask(tuple(ids), 11)
    for word, probability in found:
        piece = VOCABULARY.index(word)
        assert np.log(probability) == pytest.approx(expected[piece], abs=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 30, 8192])
def test_batches_of_any_size_give_the_same(tiny, max_tokens):
    other = LanguageModel(
        tiny.encode, tiny.head, tiny.tokenizer, tiny.device, 24, max_tokens
    )
    places = token_places(tiny, "the cat sat , the dog can play .", *range(8))
    expected = find_candidates(tiny, places, 4, max_pieces=2)
    found = find_candidates(other, places, 4, max_pieces=2)
    assert [words(own) for own in found] == [words(own) for own in expected]


def test_logits_are_made_a_few_rows_at_a_time(tiny, monkeypatch):
    monkeypatch.setattr(language_model, "LOGITS_PER_PASS", 3 * len(VOCABULARY))
    rows = []
    other = LanguageModel(
        tiny.encode,
        lambda hidden: rows.append(len(hidden)) or tiny.head(hidden),
        tiny.tokenizer,
        tiny.device,
        24,
    )
    places = token_places(tiny, "the cat sat , the dog can play .", *range(8))
    assert find_candidates(other, places, 4) == find_candidates(tiny, places, 4)
    assert rows == [3, 3, 2]


def test_several_masks_of_a_text_take_one_sequence(tiny):
    text = "the [MASK] sat , the [MASK] can [MASK] ."
    seen = []

    def encode(batch):
        seen.extend(batch.lengths)
        return tiny.encode(batch)

    other = LanguageModel(encode, tiny.head, tiny.tokenizer, tiny.device, 24)
    (pieces,) = align([spacy.blank("en")(text)], tiny.tokenizer)
    places = [place for _, place in masks_of(pieces, tiny.tokenizer)]
    assert len(places) == 3
    assert all(find_candidates(other, places, 4))
    assert seen == [len(pieces) + 2]


def test_tokens_without_pieces_have_no_candidates(tiny):
    doc = Doc(spacy.blank("en").vocab, words=["the", "\n ", "cat"])
    places = places_of_tokens(list(doc), tiny.tokenizer)
    assert places[1] is None
    found = find_candidates(tiny, places, 2)
    assert [len(own) for own in found] == [2, 0, 2]
    assert find_candidates(tiny, [], 2) == []
    assert places_of_tokens([], tiny.tokenizer) == []


def test_numbers_that_make_no_sense_are_refused(tiny):
    places = token_places(tiny, "the cat", 1)
    for wrong in ({"k": 0}, {"max_pieces": 0}, {"beam": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            find_candidates(tiny, places, **{"k": 1, **wrong})
    with pytest.raises(ValueError, match=r"SE385.*window of 24.*23 pieces"):
        find_candidates(tiny, places, 1, max_pieces=23)
    with pytest.raises(ValueError, match="window must be at least 3"):
        LanguageModel(tiny.encode, tiny.head, tiny.tokenizer, tiny.device, 2)
