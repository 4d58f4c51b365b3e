import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_electra.checkpoints import (
    from_int8_rows,
    read_header,
    read_tensors,
    to_int8_rows,
)
from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)
from spacy_electra.pretraining.pairs import GENERATOR, export_run, open_pair
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 9),
    exponent=st.integers(-12, 12),
    seed=st.integers(0, 999),
)
def test_no_weight_is_off_by_more_than_half_a_step_of_its_row(
    rows, columns, exponent, seed
):
    random = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=random) * 10.0**exponent
    stored = to_int8_rows({"X": matrix})
    assert stored["X"].dtype == torch.int8
    assert stored["X.scale"].shape == (rows,)
    again = from_int8_rows(stored)
    assert list(again) == ["X"] and again["X"].dtype == torch.float32
    largest = matrix.abs().amax(1, keepdim=True)
    assert ((again["X"] - matrix).abs() <= largest / 254 * 1.001).all()
    # The largest weight of a row is exact, but for the rounding of floats.
    at = matrix.abs().argmax(1, keepdim=True)
    torch.testing.assert_close(again["X"].gather(1, at), matrix.gather(1, at))


def test_rows_have_scales_of_their_own():
    matrix = torch.tensor([[1.0, -0.5], [1000.0, 250.0], [0.0, 0.0]])
    stored = to_int8_rows({"X": matrix})
    assert stored["X"].tolist() == [[127, -64], [127, 32], [0, 0]]
    torch.testing.assert_close(
        stored["X.scale"], torch.tensor([1 / 127, 1000 / 127, 0.0])
    )


def test_vectors_and_integers_stay():
    tensors = {"bias": torch.randn(4), "ids": torch.arange(6).view(2, 3)}
    stored = to_int8_rows(tensors)
    assert list(stored) == ["bias", "ids"]
    again = from_int8_rows(stored)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_once_rounded_nothing_changes_any_more():
    once = from_int8_rows(to_int8_rows({"X": torch.randn(7, 5)}))
    twice = from_int8_rows(to_int8_rows(once))
    torch.testing.assert_close(twice["X"], once["X"])


def test_weights_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match=r"SE472.*layer"):
        to_int8_rows({"layer": torch.tensor([[1.0, float("nan")]])})


def test_scales_that_do_not_fit_are_refused():
    broken = {"X": torch.zeros(2, 3, dtype=torch.int8), "X.scale": torch.ones(3)}
    with pytest.raises(ValueError, match=r"SE473.*X"):
        from_int8_rows(broken)


@pytest.fixture
def exported(tmp_path):
    """Two networks over one encoder, and where they lie as int8."""
    config = ElectraConfig(
        vocab_size=8192,
        embedding_size=24,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
    )
    torch.manual_seed(0)
    discriminator = ElectraForPreTraining(config).eval()
    generator = ElectraForMaskedLM(config).eval()
    generator.electra = discriminator.electra
    generator.tie_weights()
    plain = tmp_path / "plain"
    discriminator.save_pretrained(plain)
    generator.save_pretrained(plain / GENERATOR)
    ElectraTokenizer.from_pretrained("en_tiny").save_pretrained(plain)
    export_run(plain, tmp_path / "small", "int8")
    return discriminator, generator, tmp_path / "small"


def test_a_pair_of_int8_opens_as_what_it_was(exported):
    discriminator, generator, folder = exported
    pair = open_pair(folder)
    for ours, theirs in (
        (pair.discriminator, discriminator),
        (pair.generator, generator),
    ):
        expected = theirs.state_dict()
        for name, found in ours.state_dict().items():
            bound = expected[name].abs().amax(-1, keepdim=True) / 254 * 1.001
            bound = bound if expected[name].dim() == 2 else torch.zeros(())
            assert ((found - expected[name]).abs() <= bound).all(), name
    assert torch.equal(
        pair.generator.head.decoder.weight,
        pair.discriminator.electra.embeddings.word_embeddings.weight,
    )


def test_the_encoder_is_written_once(exported):
    _, _, folder = exported
    large = (folder / "model.safetensors").stat().st_size
    small = (folder / GENERATOR / "model.safetensors").stat().st_size
    weights = sum(t.numel() for t in read_tensors(folder).values())
    assert large < 1.4 * weights
    assert small < 60_000
    names = set(read_tensors(folder / GENERATOR))
    assert names == set(read_header(folder / GENERATOR))
    assert not any(name.startswith("discriminator") for name in names)


def test_names_and_shapes_are_those_of_the_weights(exported):
    _, _, folder = exported
    for part in (folder, folder / GENERATOR):
        header, tensors = read_header(part), read_tensors(part)
        assert {n: t.shape for n, t in header.items()} == {
            n: t.shape for n, t in tensors.items()
        }
        assert all(tensor.is_meta for tensor in header.values())


def test_a_generator_alone_says_what_it_lacks(exported, tmp_path):
    _, _, folder = exported
    shutil.move(folder / GENERATOR, tmp_path / "alone")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="SE474"):
        ElectraForMaskedLM.from_pretrained(tmp_path / "alone")


def test_int8_goes_back_to_files_that_others_open(exported, tmp_path):
    _, _, folder = exported
    export_run(folder, tmp_path / "floats", "fp32")
    tensors = read_tensors(tmp_path / "floats" / GENERATOR)
    own = open_pair(folder).generator.state_dict()
    found = open_pair(tmp_path / "floats").generator.state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert not any(name.endswith(".scale") for name in tensors)
    assert "electra.embeddings.word_embeddings.weight" in tensors


def test_a_generator_with_an_encoder_of_its_own_keeps_it(tmp_path):
    export_run("en_tiny", tmp_path / "out", "int8")
    pair, before = open_pair(tmp_path / "out"), open_pair("en_tiny")
    weight = "electra.encoder.layers.0.feed_forward.up.weight"
    found, expected = (p.generator.state_dict()[weight] for p in (pair, before))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)
    size = (resolve_source("en_tiny") / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 0.55 * size
