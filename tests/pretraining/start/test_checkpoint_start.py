"""A run may begin from ELECTRA's weights, its own kind's, or BERT's."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, ElectraConfig
from transformers import ElectraForMaskedLM as TheirGenerator
from transformers import ElectraForPreTraining as TheirDiscriminator

from spacy_electra.models import PackedBatch
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.start.checkpoint_start import (
    exchange_rows,
    exchange_sources,
)
from spacy_electra.tokenization import ElectraTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SHAPE = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}


def tokenizer_of(*pieces, special=SPECIAL, **settings):
    return ElectraTokenizer(
        {piece: n for n, piece in enumerate([*special, *pieces])}, **settings
    )


def ids_of(shards):
    return torch.tensor(shards.ids[:20].astype("int64"))


@pytest.fixture
def published(tmp_path, shards):
    """A discriminator and a generator as Transformers writes them, more positions."""
    torch.manual_seed(5)
    vocab_size = shards.tokenizer.vocab_size
    config = ElectraConfig(vocab_size=vocab_size, embedding_size=32, **SHAPE)
    TheirDiscriminator(config).save_pretrained(tmp_path / "discriminator")
    shards.tokenizer.save_pretrained(tmp_path / "discriminator")
    small = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 1}
    config = ElectraConfig(
        vocab_size=vocab_size, embedding_size=32, **{**SHAPE, **small}
    )
    TheirGenerator(config).save_pretrained(tmp_path / "generator")
    shards.tokenizer.save_pretrained(tmp_path / "generator")
    return tmp_path


def test_published_electra(settings_for, published, shards):
    settings = settings_for(
        model={
            "init_from": str(published / "discriminator"),
            "generator_from": str(published / "generator"),
        }
    )
    objective = Trainer(settings, published / "run").objective.eval()
    ids = ids_of(shards)
    theirs = TheirDiscriminator.from_pretrained(published / "discriminator").eval()
    with torch.no_grad():
        found = objective.discriminator.forward_packed(
            PackedBatch.from_sequences([ids])
        )
        expected = theirs(ids[None]).logits[0]
    torch.testing.assert_close(found, expected)
    layer = "electra.encoder.layer.1.output.dense.weight"
    generator = TheirGenerator.from_pretrained(published / "generator")
    torch.testing.assert_close(
        objective.generator.electra.encoder.layers[1].feed_forward.down.weight,
        generator.state_dict()[layer],
    )


def test_folder_with_both_has_one_name(settings_for, published):
    settings = settings_for(model={"init_from": str(published)})
    generator = TheirGenerator.from_pretrained(published / "generator")
    ours = Trainer(settings, published / "run").objective.generator
    torch.testing.assert_close(
        ours.head.dense.weight, generator.generator_predictions.dense.weight
    )


def test_encoder_alone(settings_for, published):
    settings = settings_for(
        objective={"name": "mlm"}, model={"init_from": str(published)}
    )
    with pytest.warns(UserWarning, match="SW405"):
        ours = Trainer(settings, published / "run").objective.generator.electra
    theirs = TheirDiscriminator.from_pretrained(published / "discriminator").electra
    torch.testing.assert_close(
        ours.encoder.layers[1].feed_forward.down.weight,
        theirs.encoder.layer[1].output.dense.weight,
    )


@pytest.mark.filterwarnings("ignore:.*SW402")
def test_a_run_of_ours(settings_for, tmp_path):
    first = Trainer(settings_for(training={"max_steps": 4}), tmp_path / "a")
    first.train()
    settings = settings_for(model={"init_from": str(tmp_path / "a")})
    second = Trainer(settings, tmp_path / "b")
    assert (second.step, second.progress) == (0, 0.0)
    for one, two in zip(
        first.objective.parameters(), second.objective.parameters(), strict=True
    ):
        assert torch.equal(one, two)


@pytest.mark.parametrize("objective", ["errors", "mlm"])
@pytest.mark.filterwarnings("ignore:.*SW402")
def test_a_run_of_one_encoder_goes_on_with_both_heads(
    settings_for, tmp_path, shards, objective
):
    own = {"objective": {"name": objective}, "sampler": {"errors": {"word": 1.0}}}
    first = Trainer(settings_for(training={"max_steps": 2}, **own), tmp_path / "a")
    first.train()
    settings = settings_for(model={"init_from": str(tmp_path / "a")}, **own)
    second = Trainer(settings, tmp_path / "b")
    assert second.objective.generator.electra is second.objective.discriminator.electra
    expected = first.objective.state_dict()
    for name, tensor in second.objective.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_bert_of_the_same_shape(settings_for, tmp_path, shards):
    config = BertConfig(vocab_size=shards.tokenizer.vocab_size, **SHAPE)
    bert = BertForMaskedLM(config).eval()
    bert.save_pretrained(tmp_path / "bert")
    shards.tokenizer.save_pretrained(tmp_path / "bert")
    discriminator = settings_for().model.discriminator
    settings = settings_for(
        model={
            "init_from": str(tmp_path / "bert"),
            "discriminator": {**discriminator, "embedding_size": 64},
        }
    )
    with pytest.warns(UserWarning, match="generator_from"):
        trainer = Trainer(settings, tmp_path / "run")
    encoder = trainer.objective.discriminator.electra.eval()
    ids = ids_of(shards)
    with torch.no_grad():
        found = encoder.forward_packed(PackedBatch.from_sequences([ids]))
        expected = bert.bert(ids[None]).last_hidden_state[0]
    torch.testing.assert_close(found.last_hidden_state, expected, atol=1e-5, rtol=1e-4)


def test_other_sizes_are_named(settings_for, published):
    settings = settings_for(
        model={"init_from": str(published), "discriminator": {"hidden_size": 128}}
    )
    with pytest.raises(ValueError, match="embedding_size=32"):
        Trainer(settings, published / "run")


def test_other_vocabulary_takes_over_what_it_can(settings_for, published, shards):
    pieces = sorted(shards.tokenizer.vocab, key=shards.tokenizer.vocab.get)
    reordered = tokenizer_of(*reversed(pieces[5:]))
    theirs = TheirDiscriminator.from_pretrained(published / "discriminator")
    table = theirs.electra.embeddings.word_embeddings.weight.detach()
    theirs.electra.embeddings.word_embeddings.weight.data = table[
        [
            shards.tokenizer.vocab[p]
            for p in sorted(reordered.vocab, key=reordered.vocab.get)
        ]
    ]
    theirs.save_pretrained(published / "discriminator")
    reordered.save_pretrained(published / "discriminator")
    settings = settings_for(model={"init_from": str(published)})
    ours = Trainer(settings, published / "run").objective.discriminator
    torch.testing.assert_close(ours.electra.embeddings.word_embeddings.weight, table)


def test_new_pieces_are_spelled_in_old_ones():
    old = tokenizer_of("play", "##ing", "##er", "p", "##s")
    new = tokenizer_of(
        "playing",
        "##ers",
        "play",
        "q",
        special=["<u>", "<s>", "</s>", "<p>", "<m>"],
        unk_token="<u>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<p>",
        mask_token="<m>",
    )
    sources = exchange_sources(old, new)
    ids = old.vocab
    assert [list(found) for found in sources] == [
        [ids["[UNK]"]],
        [ids["[CLS]"]],
        [ids["[SEP]"]],
        [ids["[PAD]"]],
        [ids["[MASK]"]],
        [ids["play"], ids["##ing"]],
        [ids["##er"], ids["##s"]],
        [ids["play"]],
        [],
    ]
    table = torch.randn(len(ids), 3)
    rows = exchange_rows(table, sources)
    torch.testing.assert_close(rows[5], table[[5, 6]].mean(0))
    torch.testing.assert_close(rows[8], table.mean(0))


def test_checkpoint_that_lacks_weights_of_the_encoder_is_refused(
    settings_for, published
):
    source = published / "discriminator"
    tensors = load_file(source / "model.safetensors")
    gone = next(name for name in tensors if name.endswith("output.dense.bias"))
    del tensors[gone]
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(ValueError, match="SE208"):
        Trainer(settings_for(model={"init_from": str(source)}), published / "run")
