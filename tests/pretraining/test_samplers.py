import pytest
import torch

from spacy_electra.pretraining.samplers import (
    FrequencySampler,
    GeneratorSampler,
    MixtureSampler,
    UnigramSampler,
    WordSampler,
    count_words,
)

# Pieces from 70 on continue a word.
CONTINUES = torch.arange(99) >= 70


class Constant:
    """A sampler that always gives one piece."""

    def __init__(self, value):
        self.value = value

    def __call__(self, originals, logits, progress, random):
        return torch.full_like(originals, self.value)


def random_with(seed):
    return torch.Generator().manual_seed(seed)


# Pieces are drawn by the block, so vocabularies of one, of several, and of a rest.
@pytest.mark.parametrize("size", [1, 4, 128, 256, 300, 385])
def test_generator_sampler_follows_the_softmax(size):
    logits = torch.randn(size, generator=random_with(1)) * 2
    logits[1::5] = -torch.inf
    logits[-1] = 2.0
    originals = torch.zeros(40_000).long()
    sampler = GeneratorSampler()
    drawn = sampler(originals, logits.expand(40_000, -1), 0.0, random_with(0))
    found = torch.bincount(drawn, minlength=size) / 40_000
    torch.testing.assert_close(found, logits.softmax(0), atol=0.01, rtol=0)
    assert (found[logits == -torch.inf] == 0).all()


def test_temperature_sharpens():
    logits = torch.tensor([0.0, 1.0]).expand(10_000, -1)
    originals = torch.zeros(10_000).long()
    cold = GeneratorSampler(0.1)(originals, logits, 0.0, random_with(0))
    warm = GeneratorSampler(10.0)(originals, logits, 0.0, random_with(0))
    assert cold.float().mean() > 0.99
    assert warm.float().mean() == pytest.approx(0.52, abs=0.03)


def test_unigram_sampler_follows_the_counts():
    counts = torch.tensor([0, 10, 30, 60])
    drawn = UnigramSampler(counts)(
        torch.zeros(40_000).long(), torch.zeros(40_000, 4), 0.0, random_with(0)
    )
    found = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(found, counts / 100, atol=0.01, rtol=0)


def test_frequency_sampler_keeps_kind_and_frequency():
    counts = 10**6 // torch.arange(1, 2001)  # Zipf
    counts[:5] = 0
    continues = torch.arange(2000) % 3 == 0
    sampler = FrequencySampler(counts, continues)
    originals = torch.arange(100, 1500).repeat(20)
    drawn = sampler(originals, torch.zeros(len(originals), 1), 0.0, random_with(0))
    assert torch.equal(continues[drawn], continues[originals])
    assert (counts[drawn] > 0).all()
    ratio = (counts[drawn].double().log() - counts[originals].double().log()).abs()
    assert ratio.median() < 1.0
    assert (drawn != originals).float().mean() > 0.95


def test_mixture_goes_from_weak_to_strong():
    mixture = MixtureSampler(
        Constant(0), Constant(1), start=0.1, end=0.9, rise_from=0.2, rise_to=0.6
    )
    originals = torch.zeros(20_000).long()
    for progress, share in ((0.0, 0.1), (0.2, 0.1), (0.4, 0.5), (0.6, 0.9), (1.0, 0.9)):
        assert mixture.strong_share(progress) == pytest.approx(share)
        drawn = mixture(originals, torch.zeros(20_000, 1), progress, random_with(0))
        assert drawn.float().mean() == pytest.approx(share, abs=0.01)


def words_of(pieces):
    """Pieces as a set of tuples, one a word."""
    words, current = [], []
    for piece in pieces.tolist():
        if not CONTINUES[piece] and current:
            words.append(tuple(current))
            current = []
        current.append(piece)
    return [*words, tuple(current)]


def test_words_are_counted_by_their_number_of_pieces():
    corpus = torch.tensor([5, 6, 70, 5, 6, 70, 5, 2, 5, 6, 71, 72, 6, 71, 72, 6, 71])
    words = count_words(corpus.numpy(), CONTINUES, special_ids=[2])
    assert [w.tolist() for w in words] == [[[5]], [[6, 70]], [[6, 71, 72]]]


def test_word_sampler_puts_words_in_place_of_words():
    torch.manual_seed(0)
    known = torch.randint(4, 99, (5000,))
    corpus = torch.cat([known, known])
    words = count_words(corpus.numpy(), CONTINUES)
    by_piece = FrequencySampler(torch.bincount(corpus, minlength=99), CONTINUES)
    sampler = WordSampler(words, CONTINUES, by_piece)
    originals = torch.cat([torch.tensor([10]), known[1000:2000]])
    drawn = sampler(originals, torch.zeros(len(originals), 1), 0.0, random_with(0))
    lexicon = {tuple(word) for table in words for word in table.tolist()}
    before, after = words_of(originals), words_of(drawn)
    assert [len(word) for word in before] == [len(word) for word in after]
    replaced = [new for old, new in zip(before, after, strict=True) if old in lexicon]
    assert len(replaced) > 0.9 * len(before)
    assert set(replaced) <= lexicon
    assert (drawn != originals).float().mean() > 0.8


def test_word_sampler_takes_no_words_at_all():
    words = count_words(torch.tensor([5, 5, 6, 6]).numpy(), CONTINUES)
    by_piece = FrequencySampler(torch.ones(99), CONTINUES)
    nothing = torch.zeros(0, dtype=torch.long)
    sampler = WordSampler(words, CONTINUES, by_piece)
    assert len(sampler(nothing, torch.zeros(0, 99), 0.0, random_with(0))) == 0


def test_pieces_of_a_word_come_from_one_sampler():
    mixture = MixtureSampler(
        Constant(0), Constant(1), start=0.5, end=0.5, continues=CONTINUES
    )
    originals = torch.tensor([10, 80, 81] * 500)
    drawn = mixture(originals, torch.zeros(1500, 1), 0.0, random_with(0)).view(500, 3)
    assert (drawn == drawn[:, :1]).all()
    assert drawn.float().mean() == pytest.approx(0.5, abs=0.1)
