import json
import random
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
import torch.nn.functional as F
from pipelines import SHARED_ENCODER, small_config
from spacy.cli.train import train
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_electra.models import ElectraConfig, ElectraForMultipleChoice
from spacy_electra.pipeline.multiple_choice import pooled, score_choices

TEXT = "In 1905 Einstein published four papers; physicists read them today."
CHOICES = ["Einstein", "physicists of today", "nobody", "the four papers"]


def save(folder, tokenizer, **changes):
    """A checkpoint that Transformers writes, and its model."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ElectraConfig(**small_config(tokenizer, **changes))
    model = transformers.ElectraForMultipleChoice(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder), model


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory, tokenizer):
    return save(tmp_path_factory.mktemp("fine_tuned"), tokenizer)


def pipeline(source, window=128, stride=96, encoder=None):
    nlp = spacy.blank("en")
    own = {"source": source, "window": window, "stride": stride, "precision": "fp32"}
    model = {"encoder": encoder or own}
    nlp.add_pipe("electra_multiple_choice", config={"model": model})
    return nlp


def asked(nlp, text=TEXT, choices=CHOICES, question="Who published?"):
    doc = nlp.make_doc(text)
    doc._.choices = list(choices)
    doc._.question = question
    return doc


def example(nlp, text, choices, choice, question=""):
    predicted = asked(nlp, text, choices, question)
    reference = predicted.copy()
    reference._.choice = choice
    return Example(predicted, reference)


def logits_of_transformers(model, tokenizer, choices, text=TEXT):
    rows = [tokenizer(text, choice) for choice in choices]
    longest = max(len(row.ids) for row in rows)

    def padded(parts):
        rows = [np.pad(part, (0, longest - len(part))) for part in parts]
        return torch.from_numpy(np.stack(rows))[None]

    return model(
        input_ids=padded([row.ids for row in rows]),
        token_type_ids=padded([row.token_type_ids for row in rows]),
        attention_mask=padded([np.ones_like(row.ids) for row in rows]),
    ).logits


def test_choices_are_those_of_transformers(fine_tuned, tokenizer):
    source, model = fine_tuned
    nlp = pipeline(source)
    for choices in (CHOICES, CHOICES[:1], CHOICES * 3):
        doc = nlp(asked(nlp, choices=choices))
        texts = [f"Who published? {choice}" for choice in choices]
        with torch.no_grad():
            logits = logits_of_transformers(model, tokenizer, texts)[0]
        expected = logits.softmax(0).numpy()
        np.testing.assert_allclose(doc._.choice_scores, expected, atol=1e-5)
        assert doc._.choice == int(logits.argmax())
        assert sum(doc._.choice_scores) == pytest.approx(1.0)
    # Without a question the choices stand alone.
    doc = nlp(asked(nlp, question=""))
    with torch.no_grad():
        expected = logits_of_transformers(model, tokenizer, CHOICES)[0].softmax(0)
    np.testing.assert_allclose(doc._.choice_scores, expected, atol=1e-5)


def test_loss_and_gradients_are_those_of_torch(fine_tuned, tokenizer):
    source, model = fine_tuned
    nlp = pipeline(source)
    component = nlp.get_pipe("electra_multiple_choice")
    rows = [(CHOICES, 1), (CHOICES[:2], 0), (CHOICES, None)]
    examples = [example(nlp, TEXT, *row) for row in rows]
    model = type(model).from_pretrained(source).train()
    loss = 0.0
    for choices, choice in rows[:2]:
        logits = logits_of_transformers(model, tokenizer, choices)
        loss = loss + F.cross_entropy(logits, torch.tensor([choice])) / 2
    loss.backward()
    losses = nlp.update(examples, sgd=False, losses={})
    found = losses["electra_multiple_choice"]
    assert found == pytest.approx(loss.item(), rel=1e-5)
    theirs = ElectraForMultipleChoice.from_hugging_face(
        {name: weight.grad for name, weight in model.named_parameters()}
    )[0]
    parts = {"head.": component.model.shim, "electra.": component.model.encoder.shim}
    compared = 0
    for prefix, shim in parts.items():
        for name, weight in shim.network.named_parameters():
            expected = theirs[prefix + name]
            torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)
            compared += 1
    assert compared == len(theirs)


def test_windows_of_a_long_text_are_pooled(fine_tuned):
    nlp = pipeline(fine_tuned[0], window=48, stride=24)
    component = nlp.get_pipe("electra_multiple_choice")
    doc = asked(nlp, TEXT * 4)
    outputs = component.predict([doc])[0]
    # A longer choice leaves less room, so there are more windows.
    assert [len(part) for part in outputs] == [3, 4, 3, 3]
    logits = np.array([np.log(np.exp(part.astype(float)).mean()) for part in outputs])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(nlp(doc)._.choice_scores, expected, rtol=1e-5)


def test_gradient_of_the_pool_is_its_slope():
    values = np.array([1.0, -2.0, 0.5, 900.0 - 899.0])
    logit, gradient = pooled(values)
    assert logit == pytest.approx(np.log(np.exp(values).mean()))
    for i in range(len(values)):
        step = 1e-5 * (np.arange(len(values)) == i)
        slope = (pooled(values + step)[0] - pooled(values - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, abs=1e-8)
    assert pooled(np.array([1e4, -1e4]))[0] == pytest.approx(1e4 - np.log(2))
    assert pooled(np.array([3.0])) == (3.0, [1.0])


def test_gradient_of_the_loss_is_its_slope(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    component = nlp.get_pipe("electra_multiple_choice")
    examples = [
        example(nlp, TEXT, CHOICES[:2], 1),
        example(nlp, TEXT, [], None),
        example(nlp, TEXT, CHOICES[:3], 0),
        example(nlp, TEXT, CHOICES[:1], None),
    ]
    chance = np.random.default_rng(0)
    scores = [chance.normal(size=size) for size in (2, 1, 3, 2, 2, 1)]
    loss, gradients = component.get_loss(examples, scores)
    assert loss > 0 and len(gradients) == len(scores)
    for part, gradient in zip(scores, gradients, strict=True):
        for i in range(len(part)):
            sides = []
            for step in (1e-5, -1e-5):
                part[i] += step
                sides.append(component.get_loss(examples, scores)[0])
                part[i] -= step
            slope = (sides[0] - sides[1]) / 2e-5
            assert gradient[i] == pytest.approx(slope, abs=1e-6)


def test_stream_gives_what_each_doc_gives_alone(fine_tuned):
    nlp = pipeline(fine_tuned[0], window=48, stride=24)
    texts = [TEXT, "", TEXT * 3, " \n", "Bern"]
    choices = [CHOICES, ["a", "b"], CHOICES[:2], ["c"], []]
    make = [asked(nlp, *row) for row in zip(texts, choices, strict=True)]
    alone = [nlp(doc.copy()) for doc in make]
    for size in (1, 3, 100):
        docs = nlp.pipe([doc.copy() for doc in make], batch_size=size)
        for doc, other in zip(docs, alone, strict=True):
            assert doc._.choice == other._.choice
            np.testing.assert_allclose(
                doc._.choice_scores, other._.choice_scores, rtol=1e-4
            )


def test_docs_without_choices_or_text_have_documented_results(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    for doc in (nlp(TEXT), nlp(asked(nlp, choices=[])), nlp("")):
        assert doc._.choice is None and doc._.choice_scores == []
    empty = nlp(asked(nlp, "", ["a", "b"]))
    assert empty._.choice in (0, 1) and len(empty._.choice_scores) == 2
    assert nlp(asked(nlp, TEXT, [""]))._.choice_scores == [1.0]


def test_saved_pipeline_gives_equal_choices(fine_tuned, tmp_path):
    nlp = pipeline(fine_tuned[0])
    doc = nlp(asked(nlp))
    nlp.to_disk(tmp_path / "pipeline")
    opened = spacy.load(tmp_path / "pipeline")
    again = pipeline("nothing").from_bytes(nlp.to_bytes())
    (same,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    for other in (opened(asked(opened)), again(asked(again)), same):
        assert other._.choice == doc._.choice
        assert other._.choice_scores == doc._.choice_scores


def story(nlp, chance):
    """A text and what is in it, between two things that are not."""
    things = ["cat", "river", "house", "table", "horse", "bridge"]
    choices = chance.sample(things, 3)
    choice = chance.randrange(3)
    start = chance.choice(["my friend saw the", "there was a", "she likes this"])
    return example(nlp, f"{start} {choices[choice]} today", choices, choice, "what?")


@pytest.fixture
def untrained(tmp_path, tokenizer):
    torch.manual_seed(0)
    changes = {"embedding_size": 64, "hidden_size": 64, "initializer_range": 0.07}
    config = ElectraConfig.from_dict(small_config(tokenizer, **changes))
    ElectraForMultipleChoice(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def learn(nlp, steps=100, learn_rate=0.002):
    chance = random.Random(0)
    train, test = ([story(nlp, chance) for _ in range(n)] for n in (128, 32))
    nlp.initialize(lambda: train)
    optimizer = Adam(learn_rate, L2=0.0)
    for _ in range(steps):
        nlp.update(chance.sample(train, 8), sgd=optimizer)
    return nlp.evaluate(test)


@pytest.mark.filterwarnings("ignore:.*SW310")
def test_it_learns_which_choice_goes_with_a_text(untrained):
    assert learn(pipeline(untrained))["choice_acc"] >= 0.9


@pytest.mark.filterwarnings("ignore:.*SW310")
def test_it_learns_on_the_encoder_of_an_electra_component(untrained):
    pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": untrained, "precision": "fp32"}})
    nlp.add_pipe(
        "electra_multiple_choice", config={"model": {"encoder": SHARED_ENCODER}}
    )
    assert learn(nlp)["choice_acc"] >= 0.9


def test_accuracy_is_the_share_of_right_choices(nlp, fine_tuned):
    pipeline(fine_tuned[0])
    examples = [example(nlp, TEXT, CHOICES, choice) for choice in (0, 3, 2, None)]
    for each, choice in zip(examples, (0, 3, 1, 2), strict=True):
        each.predicted._.choice = choice
    assert score_choices(examples) == {"choice_acc": pytest.approx(2 / 3)}
    assert score_choices(examples[3:]) == {"choice_acc": None}
    examples[0].predicted._.question = "Who?"
    with pytest.raises(ValueError, match=r"SE374.*doc._.question\."):
        score_choices(examples)


def test_component_says_what_it_needs_and_sets(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    meta = nlp.get_pipe_meta("electra_multiple_choice")
    assert meta.requires == ["doc._.choices"]
    assert meta.assigns == ["doc._.choice", "doc._.choice_scores"]
    assert list(meta.scores) == ["choice_acc"]
    assert nlp.get_pipe("electra_multiple_choice").labels == ()


def test_checkpoint_with_another_head_is_told(nlp):
    nlp.add_pipe("electra_multiple_choice")
    with pytest.warns(UserWarning, match=r"SW300.*'en_small' is no multiple-choice"):
        nlp.initialize()


def test_checkpoint_that_reads_something_else_than_cls_is_refused(tmp_path, tokenizer):
    source, _ = save(tmp_path, tokenizer, summary_type="mean")
    nlp = pipeline(source)
    with pytest.raises(ValueError, match=r'SE384.*summary_type = "mean"'):
        nlp(asked(nlp))


def test_choice_longer_than_the_window_is_refused(fine_tuned):
    nlp = pipeline(fine_tuned[0], window=32, stride=16)
    with pytest.raises(ValueError, match=r"SE120.*'Who\? why.*window of 32"):
        nlp(asked(nlp, TEXT, ["why " * 40], "Who?"))


def test_data_must_have_choices_that_are_there(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    without = Example(asked(nlp), asked(nlp))
    with pytest.raises(ValueError, match=r"SE383.*doc._.choice .*doc._.choices"):
        nlp.initialize(lambda: [without])
    with pytest.raises(ValueError, match=r"SE379.*9.*4 choices"):
        nlp.update([example(nlp, TEXT, CHOICES, 9)])
    assert nlp.update([without], sgd=False) == {"electra_multiple_choice": 0.0}
    bare = Example(nlp.make_doc("a"), nlp.make_doc("a"))
    assert nlp.update([bare], sgd=False) == {"electra_multiple_choice": 0.0}


def test_spacy_train_learns_from_lines_and_from_mctest(tmp_path):
    lines = [{"text": TEXT, "choices": CHOICES, "choice": 0, "question": "Who?"}] * 6
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf8")
    row = "\t".join(["few.0", "Author: 1", TEXT, *["one: Who?", *CHOICES] * 4])
    (tmp_path / "dev.tsv").write_text(row, "utf8")
    (tmp_path / "dev.ans").write_text("A\tA\tB\tA", "utf8")
    config = Path(__file__).parents[2] / "configs" / "multiple_choice.cfg"
    overrides = {
        "paths.train": str(tmp_path / "train.jsonl"),
        "paths.dev": str(tmp_path / "dev.tsv"),
        "corpora.dev.@readers": "spacy-electra.MCTestCorpus.v1",
        "training.max_steps": 2,
        "training.eval_frequency": 1,
    }
    with pytest.warns(UserWarning, match="SW300"):
        train(config, tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-best")
    # Four times the same question, answered in the same way.
    assert nlp.meta["performance"]["choice_acc"] in (0.0, 0.25, 0.75)
    assert nlp(asked(nlp))._.choice in range(4)
