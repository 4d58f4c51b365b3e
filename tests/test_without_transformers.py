"""Where neither Transformers nor spacy-transformers is, all but the drop-in works."""

import subprocess
import sys

import pytest

# Both are as good as not installed: not importable, and no entry points of theirs.
HIDDEN = """
import importlib.abc, importlib.metadata, sys, warnings

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("transformers", "spacy_transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
every = importlib.metadata.Distribution.discover
def discover(**context):
    hidden = ("transformers", "spacy-transformers")
    return (d for d in every(**context) if d.metadata["Name"] not in hidden)
importlib.metadata.Distribution.discover = discover
warnings.simplefilter("ignore")
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
"""
WORKS = {
    "marks": """
nlp = spacy.blank("en")
nlp.add_pipe("electra_rtd")
doc = nlp("He was salt by the United States Senate on July 27, 1982.")
assert any(token._.is_replaced for token in doc)
nlp.to_disk("saved")
again = spacy.load("saved")(doc.text)
assert [t._.rtd_score for t in again] == [t._.rtd_score for t in doc]
""",
    "trains": """
for factory in ("electra_rtd", "electra_textcat", "electra_token_classifier",
                "electra_qa", "electra_multiple_choice"):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    doc = nlp.make_doc("The chef cooked the banana.")
    gold = nlp.make_doc(doc.text)
    gold.spans["rtd"] = [Span(gold, 4, 5, "REPLACED")]
    gold.ents = [Span(gold, 4, 5, "FRUIT")]
    gold.cats = {"GOOD": 1.0, "BAD": 0.0}
    for each in (doc, gold):
        if factory == "electra_qa":
            each._.questions = ["What?"]
        if factory == "electra_multiple_choice":
            each._.choices = ["one", "two"]
    if factory == "electra_qa":
        gold._.answers = [gold[4:5]]
    if factory == "electra_multiple_choice":
        gold._.choice = 1
    optimizer = nlp.initialize(lambda: [Example(doc, gold)])
    optimizer.learn_rate = 1e-4
    losses = [nlp.update([Example(doc, gold)], sgd=optimizer)[factory] for _ in "1234"]
    assert losses[-1] < losses[0], factory
""",
    "pretrains on raw text": """
for factory in ("electra_rtd", "electra_mlm", "electra_causal_lm"):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    docs = [nlp.make_doc("The river floods the valley every spring.")] * 2
    optimizer = nlp.initialize(lambda: [Example(doc, doc) for doc in docs])
    assert nlp.update([Example(d, d) for d in docs], sgd=optimizer)[factory] > 0
""",
    "encodes for spaCy's components": """
nlp = spacy.blank("en")
tagger = {"@architectures": "spacy.Tagger.v2", "tok2vec": {
    "@architectures": "spacy-electra.Tok2Vec.v1",
    "encoder": {"@architectures": "spacy-electra.Encoder.v1"},
    "pooling": {"@layers": "reduce_mean.v1"}}}
nlp.add_pipe("tagger", config={"model": tagger}).add_label("X")
nlp.initialize()
assert nlp("A word.")[0].tag_ == "X"
""",
    "opens and saves checkpoints": """
import spacy_electra
from spacy_electra import ElectraForPreTraining, ElectraTokenizer
tokenizer = ElectraTokenizer.from_pretrained("en_tiny")
model = ElectraForPreTraining.from_pretrained("en_tiny")
batch = tokenizer(["one", "two three"], return_tensors="pt", padding=True)
logits = model(**batch).logits
model.save_pretrained("folder"), tokenizer.save_pretrained("folder")
again = ElectraForPreTraining.from_pretrained("folder")
assert again(**batch).logits.equal(logits)
""",
    "runs its commands": """
from typer.testing import CliRunner
from spacy.cli._util import app
import spacy_electra.cli.app
for command in (["info", "en_tiny"], ["show", "He was salt by the Senate."],
                ["init-config"], ["convert", "en_tiny", "converted"]):
    result = CliRunner().invoke(app, ["electra", *command])
    assert result.exit_code == 0, (command, result.output, result.exception)
""",
}


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", HIDDEN + code],
        capture_output=True,
        text=True,
        cwd=folder,
    )


@pytest.mark.parametrize("what", WORKS)
def test_it(what, tmp_path):
    code = f"{WORKS[what]}\nassert 'transformers' not in sys.modules"
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_drop_in_says_what_it_needs(tmp_path):
    code = 'spacy.blank("en").add_pipe("electra")'
    done = run(code, tmp_path)
    assert done.returncode != 0
    assert "spacy-electra[transformers]" in done.stderr
