"""What a type checker and an editor see of the package, as it is installed."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import spacy_electra

pytest.importorskip("mypy", reason="needs mypy")

RIGHT = """
import torch
import spacy_electra
from spacy_electra import (
    ElectraConfig,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraModel,
    ElectraTokenizer,
    token_vectors,
)

class Tagger(ElectraForPreTraining):
    pass

config: ElectraConfig = ElectraConfig.preset("tiny").generator()
tokenizer: ElectraTokenizer = ElectraTokenizer.from_pretrained("en_tiny")
model: ElectraForPreTraining = ElectraForPreTraining.from_pretrained("en_tiny")
own: Tagger = Tagger.from_pretrained("en_tiny")
batch = tokenizer(["one", "two"], return_tensors="pt", padding=True)
scores: torch.Tensor = model(**batch).logits.sigmoid()
states: torch.Tensor = ElectraModel(config)(batch["input_ids"]).last_hidden_state
loss: torch.Tensor | None = own(batch["input_ids"], labels=scores).loss
start: torch.Tensor = ElectraForQuestionAnswering(config)(**batch).start_logits
name: str = spacy_electra.__version__
print(token_vectors, config.changed(hidden_size=64).hidden_size + 1)
"""
# Each goes after the right ones; what mypy must call wrong about it.
WRONG = {
    "ElectraModel.from_pretraned('en_tiny')": "from_pretraned",
    "spacy_electra.ElectraModle": "ElectraModle",
    "from spacy_electra import ElectraTokeniser": "ElectraTokeniser",
    "ElectraTokenizer.from_pretained('en_tiny')": "from_pretained",
    "ElectraConfig.presets('tiny')": "presets",
    "model(input_id=scores)": "input_id",
    "model(scores).logit": "logit",
    "own(scores).last_hidden_state": "last_hidden_state",
    "ElectraModel(config)(scores).logits": "logits",
    "config.hiden_size": "hiden_size",
    "number: int = ElectraModel.from_pretrained('en_tiny')": "Incompatible types",
    "spacy_electra.__version__ + 1": "operand",
    "tokenizer.encod('a')": "encod",
    "tokenizer(1.5)": "arg-type",
}


def in_subprocess(*command, folder=None):
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=folder
    ).stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What ``mypy --strict`` says of the right script and of each wrong one."""
    if "__editable___" in in_subprocess("-c", "import sys; print(sys.meta_path)"):
        pytest.skip("installed by an import hook, by an older setup.cfg: install again")
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "right.py").write_text(RIGHT, encoding="utf8")
    for number, line in enumerate(WRONG):
        text = f"{RIGHT}{line}\n"
        (folder / f"wrong_{number}.py").write_text(text, encoding="utf8")
    files = [file.name for file in sorted(folder.glob("*.py"))]
    mypy = ("-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"))
    return in_subprocess(*mypy, *files, folder=folder).splitlines()


def test_a_script_without_mistakes_passes(said):
    assert [line for line in said if not line.startswith(("wrong_", "Found "))] == []


@pytest.mark.parametrize("number", range(len(WRONG)), ids=list(WRONG))
def test_a_mistake_fails(said, number):
    errors = [line for line in said if line.startswith(f"wrong_{number}.py")]
    assert any(list(WRONG.values())[number] in line for line in errors), errors


def test_names_are_listed_and_there(capsys):
    assert set(spacy_electra.__all__) <= set(dir(spacy_electra))
    for name in spacy_electra.__all__:
        assert getattr(spacy_electra, name) is not None
    with pytest.raises(AttributeError, match="ElectraModle"):
        spacy_electra.ElectraModle  # noqa: B018


def test_the_version_is_that_of_the_installed_package():
    assert spacy_electra.__version__ == version("spacy-electra")
