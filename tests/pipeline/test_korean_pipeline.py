"""Korean from raw text to a tagger: vocabulary, pretraining, marks, fine-tuning."""

import csv
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import spacy
from korean import set_up_mecab
from spacy.cli._util import app as spacy_app
from spacy.tokens import Doc, DocBin
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app as electra_app
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.coverage import measure_coverage

CONFIGS = Path(__file__).parents[2] / "configs"
RULE = {"nlp": {"tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}}}
SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "embedding_size": 64,
    "num_attention_heads": 2,
    "intermediate_size": 128,
}
STEPS = 60


def run(app, *arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def treebank(file):
    """Words of each sentence, whether a blank follows each, and their tags."""
    for block in file.read_text(encoding="utf8").strip().split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines() if line[0] != "#"]
        rows = [row for row in rows if row[0].isdigit()]
        spaces = ["SpaceAfter=No" not in row[9] for row in rows]
        yield [row[1] for row in rows], spaces, [row[3] for row in rows]


def text_of(words, spaces, _):
    return "".join(w + " " * s for w, s in zip(words, spaces, strict=True)).strip()


@pytest.fixture(scope="module")
def sentences():
    folder = Path(__file__).parents[3] / "shared" / "data" / "ud_korean_kaist"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/ud_korean_kaist, which is not here")
    return list(treebank(folder / "ko_kaist-ud-dev.conllu"))


@pytest.fixture(scope="module")
def run_folder(sentences, tmp_path_factory):
    """A folder with the text, its vocabulary, a run of seconds and its checkpoint."""
    folder = tmp_path_factory.mktemp("korean")
    texts = [text_of(*sentence) for sentence in sentences[:1600]]
    documents = [" ".join(texts[n : n + 8]) for n in range(0, len(texts), 8)]
    (folder / "kaist.txt").write_text("\n\n".join(documents), encoding="utf8")
    config = Config().from_disk(CONFIGS / "pretrain_cpu.cfg", interpolate=False)
    config["data"].update(length=64, batch_size=16, batch_tokens=0)
    config["model"]["discriminator"].update(SMALL)
    config["model"]["generator"] = {}
    config["optimizer"]["warmup_steps"] = 10
    config["training"].update(max_steps=STEPS, max_minutes=0, precision="fp32")
    config["training"].update(report_every=20, evaluate_every=STEPS, save_every=STEPS)
    config["training"].update(evaluate_sequences=32, most_repeats=0.0)
    config.to_disk(folder / "pretrain.cfg")
    vocab, shards = folder / "vocab", folder / "shards"
    said = run(electra_app, "vocab", folder / "kaist.txt", vocab, "--size", 4000)
    assert "Hangul syllables stay" in said
    run(
        *[electra_app, "prepare", folder / "kaist.txt", vocab, shards],
        *["--held-out-every", 20],
    )
    run(
        *[electra_app, "pretrain", folder / "pretrain.cfg", folder / "run"],
        *["--data.shards", shards],
    )
    run(electra_app, "export", folder / "run", folder / "ko")
    return folder


def marking(source, nlp=None, **tokenizer_config):
    nlp = nlp or spacy.blank("ko", config=RULE)
    encoder = {"source": str(source), "precision": "fp32"}
    encoder["tokenizer_config"] = tokenizer_config
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    return nlp


def test_the_vocabulary_has_syllables_and_knows_other_text(run_folder, sentences):
    tokenizer = ElectraTokenizer.from_pretrained(run_folder / "ko")
    assert tokenizer.vocab_size == 4000
    pieces = "".join(tokenizer.vocab)
    assert unicodedata.normalize("NFC", pieces) == pieces
    others = [text_of(*sentence) for sentence in sentences[1600:]]
    figures = measure_coverage(others, tokenizer)
    # Syllables that the few texts do not have.
    assert figures.unknown_rate < 0.05
    assert figures.pieces_per_word < 3


def test_the_generator_learns(run_folder):
    with (run_folder / "run" / "log.csv").open(encoding="utf8", newline="") as file:
        *_, last = csv.DictReader(file)
    # Of a network that knows nothing but how many pieces there are.
    guessing = np.log(4000)
    assert float(last["train_mlm"]) < guessing - 0.5
    assert float(last["mlm_loss"]) < guessing - 0.5


def test_words_are_marked(run_folder, sentences):
    nlp = marking(run_folder / "ko")
    texts = [text_of(*sentence) for sentence in sentences[1600:1610]]
    for text, doc in zip(texts, nlp.pipe(texts), strict=True):
        assert doc.text == text
        scores = [token._.rtd_score for token in doc]
        assert all(0 < score < 1 for score in scores)
        assert len(set(scores)) > 1


def test_text_in_letters_is_scored_like_its_syllables(run_folder, sentences):
    """With a normalizer before BERT's; without it, every word is unknown."""
    text = text_of(*sentences[1601])
    letters = unicodedata.normalize("NFD", text)
    plain = marking(run_folder / "ko")
    with pytest.warns(UserWarning, match=r"\[SW132\].*NFC"):
        plain(letters)
    settings = ElectraTokenizer.from_pretrained(run_folder / "ko").settings
    bert = {
        "type": "BertNormalizer",
        "clean_text": settings["clean_text"],
        "handle_chinese_chars": settings["tokenize_chinese_chars"],
        "strip_accents": settings["strip_accents"],
        "lowercase": settings["do_lower_case"],
    }
    normalizer = {"type": "Sequence", "normalizers": [{"type": "NFC"}, bert]}
    joining = marking(run_folder / "ko", normalizer=normalizer)
    expected = [token._.rtd_score for token in plain(text)]
    doc = joining(letters)
    assert doc.text == letters
    found = [token._.rtd_score for token in doc]
    assert found == pytest.approx(expected, abs=1e-5)


def test_morphemes_of_mecab_are_marked(run_folder, sentences, monkeypatch, tmp_path):
    set_up_mecab(monkeypatch, tmp_path)
    nlp = marking(run_folder / "ko", spacy.blank("ko"))
    text = text_of(*sentences[1600])
    doc = nlp(text)
    assert len(doc) > len(sentences[1600][0])
    assert all(0 < token._.rtd_score < 1 for token in doc)


def test_a_tagger_learns(run_folder, sentences, tmp_path):
    nlp = spacy.blank("ko", config=RULE)
    for name, part in (("train", sentences[:1200]), ("dev", sentences[1600:])):
        docs = [Doc(nlp.vocab, words=w, spaces=s, tags=t) for w, s, t in part]
        DocBin(docs=docs).to_disk(tmp_path / f"{name}.spacy")
    run(
        *[spacy_app, "train", CONFIGS / "ko_tagger.cfg", "--output", tmp_path / "out"],
        *["--paths.train", tmp_path / "train.spacy"],
        *["--paths.dev", tmp_path / "dev.spacy"],
        *["--paths.source", run_folder / "ko"],
        *["--training.max_steps", 120, "--training.eval_frequency", 120],
        # What is fit for twelve layers is slow for two that have seen little.
        *["--training.optimizer.learn_rate.initial_rate", 0.003],
        *["--training.optimizer.learn_rate.warmup_steps", 10],
    )
    trained = spacy.load(tmp_path / "out" / "model-last")
    tags = Counter(tag for *_, tags in sentences[1600:] for tag in tags)
    most_frequent = max(tags.values()) / tags.total()
    assert trained.meta["performance"]["tag_acc"] > most_frequent + 0.2
    words, spaces, gold = sentences[1700]
    doc = trained(Doc(trained.vocab, words=words, spaces=spaces))
    assert sum(t.tag_ == g for t, g in zip(doc, gold, strict=True)) > len(gold) / 2
