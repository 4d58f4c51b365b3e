"""Hub ids where users write them: configs of pipelines, commands, pretraining."""

import json

import pytest
import spacy
from huggingface_hub import constants
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.layers.encoder import Encoder
from spacy_electra.layers.listener import make_encoder_listener
from spacy_electra.layers.transformer_model import (
    replace_listener,
    replace_listener_cfg,
)
from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)
from spacy_electra.pretraining.pairs import open_pair
from spacy_electra.pretraining.start.checkpoint_start import start_from
from spacy_electra.source import resolve_source

NAME = "owner/tiny"
REVISION = "dropout"
SOURCE = f"{NAME}@{REVISION}"
DROPOUT = 0.25
CARD = b"---\nlanguage: en\nlicense: mit\n---\n"


@pytest.fixture
def two(hub, tiny_files):
    """A repository with two revisions, which differ in a number of config.json."""
    hub.add(NAME, tiny_files)
    config = json.loads(tiny_files["config.json"])
    changed = json.dumps({**config, "hidden_dropout_prob": DROPOUT}).encode()
    hub.add(NAME, {**tiny_files, "config.json": changed, "README.md": CARD}, REVISION)
    return hub


def dropout_of(encoder):
    return encoder.load().network.config.hidden_dropout_prob


def test_an_encoder_takes_a_revision(two):
    assert dropout_of(Encoder(NAME)) == 0.0
    assert dropout_of(Encoder(SOURCE)) == DROPOUT
    # The generator beside it is none of its business.
    assert not [a for a in two.log if "generator" in a.path]


def test_a_component_with_a_head_takes_a_revision(two):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(
        "electra_rtd", config={"model": {"encoder": {"source": SOURCE}}}
    )
    doc = nlp("The chef cooked the meal.")
    assert all(0 <= token._.rtd_score <= 1 for token in doc)
    assert dropout_of(pipe.model.encoder) == DROPOUT


@pytest.mark.parametrize(
    "model",
    [
        {"name": SOURCE},
        {"name": NAME, "transformer_config": {"revision": REVISION}},
        {
            "name": NAME,
            "transformer_config": {"revision": REVISION},
            "tokenizer_config": {"revision": REVISION, "use_fast": True},
        },
    ],
)
def test_electra_takes_a_revision_as_spacy_transformers_does(model, two, recwarn):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("electra", config={"model": model})
    nlp.initialize()
    assert dropout_of(pipe.model) == DROPOUT
    assert not [w for w in recwarn if "SW311" in str(w.message)]


def test_electra_says_that_the_tokenizer_has_no_revision_of_its_own(two):
    nlp = spacy.blank("en")
    model = {"name": NAME, "tokenizer_config": {"revision": REVISION}}
    nlp.add_pipe("electra", config={"model": model})
    with pytest.warns(UserWarning, match=r"SW311.*revision"):
        nlp.initialize()


def test_a_revision_stays_with_a_component_that_gets_its_own_encoder(two):
    encoder = {"name": NAME, "transformer_config": {"revision": REVISION}}
    listener = {"@architectures": "spacy-electra.EncoderListener.v1"}
    tok2vec = {
        "@architectures": "spacy-electra.Tok2Vec.v1",
        "encoder": listener,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    found = replace_listener_cfg(encoder, tok2vec)["encoder"]
    assert found["source"] == SOURCE
    nlp = spacy.blank("en")
    upstream = nlp.add_pipe("electra", config={"model": encoder}).model
    nlp.initialize()
    own = replace_listener(upstream, make_encoder_listener(), nlp.get_pipe("electra"))
    assert own.source == SOURCE
    assert dropout_of(own) == DROPOUT


def test_a_saved_pipeline_never_asks_the_hub(two, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"source": SOURCE}}})
    nlp.initialize()
    nlp.to_disk(tmp_path)
    two.log.clear()
    spacy.load(tmp_path)("The chef cooked the meal.")
    assert two.log == []


def test_a_filled_config_is_as_it_was():
    config = Config().from_str(spacy.blank("en").config.to_str())
    nlp = spacy.blank("en", config=config)
    nlp.add_pipe("electra")
    nlp.add_pipe("electra_rtd")
    for name in ("electra", "electra_rtd"):
        assert "revision" not in json.dumps(nlp.config["components"][name])


@pytest.mark.parametrize(
    ("factory", "key", "section"),
    [
        ("electra", "name", lambda source: {"name": source}),
        ("electra_rtd", "source", lambda source: {"encoder": {"source": source}}),
    ],
)
def test_errors_name_the_key_of_the_component(factory, key, section):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config={"model": section("en_smal")})
    with pytest.raises(FileNotFoundError) as error:
        nlp.initialize()
    assert str(error.value).startswith(f"[SE026] {key} = 'en_smal' is neither")


def test_a_pair_of_networks_comes_with_its_generator(two):
    pair = open_pair(SOURCE)
    assert pair.generator is not None
    assert pair.discriminator.config.hidden_dropout_prob == DROPOUT


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_info_reads_a_hub_id_with_its_card(two):
    facts = json.loads(run("info", SOURCE, "--json"))
    assert facts["kind"] == "checkpoint"
    assert set(facts["networks"]) == {"", "generator"}
    assert facts["languages"] == ["en"]
    assert facts["licence"] == "mit"


def test_convert_and_export_write_a_hub_id(two, tmp_path):
    for command in ("convert", "export"):
        folder = tmp_path / command
        run(command, SOURCE, folder)
        config = json.loads((folder / "config.json").read_text())
        assert config["hidden_dropout_prob"] == DROPOUT
        assert (folder / "README.md").read_bytes() == CARD


def test_prepare_fetches_the_tokenizer_alone(two, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("The chef cooked the meal.\n\n" * 20)
    run("prepare", corpus, SOURCE, tmp_path / "shards")
    assert not [a for a in two.log if a.host.startswith("localhost")]


def test_other_commands_take_a_hub_id(two, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The chef cooked the meal and served it.\n\n" * 260)
    run("evaluate", SOURCE, text)
    run("show", text, "--source", SOURCE, "--output", tmp_path / "page.html")
    run("demo", "The chef.", "--source", SOURCE, "--output", tmp_path / "demo.html")
    run("calibrate", text, SOURCE, "--output", tmp_path / "table.json")
    sentences = tmp_path / "sentences.conllu"
    word = "1\t{0}\t{0}\tNOUN\tNN\t_\t0\troot\t_\t_\n\n"
    sentences.write_text("".join(word.format(name) for name in ("chef", "meal") * 8))
    run("probe", SOURCE, sentences, sentences, "--epochs", "1")
    assert (tmp_path / "table.json").is_file()
    assert not [a for a in two.log if a.path.startswith("/api") and NAME not in a.path]


def test_pretraining_begins_with_a_hub_id(two, tiny_files, tokenizer):
    config = ElectraConfig.from_pretrained(SOURCE)
    discriminator = ElectraForPreTraining(config)
    folder = resolve_source(f"{NAME}/generator")
    generator = ElectraForMaskedLM(ElectraConfig.from_pretrained(folder))
    assert start_from(SOURCE, generator, discriminator, tokenizer)
    expected = ElectraForPreTraining.from_pretrained(SOURCE).state_dict()
    for name, weight in discriminator.state_dict().items():
        assert weight.equal(expected[name])


def test_a_command_ends_with_one_line_and_no_traceback(two):
    for source in (f"{NAME}@nothing", "owner/nothing", "./checkponts/foo", "en_smal"):
        result = CliRunner().invoke(app, ["info", source])
        assert result.exit_code == 1
        assert "[SE0" in result.output or "[SE2" in result.output
        assert "Traceback" not in result.output


def test_offline_commands_use_the_cache(two, monkeypatch):
    resolve_source(SOURCE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert json.loads(run("info", SOURCE, "--json"))["source"] == SOURCE
