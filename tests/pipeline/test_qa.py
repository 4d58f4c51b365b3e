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
from spacy.training import Corpus, Example
from thinc.api import Adam

from spacy_electra.models import ElectraConfig, ElectraForQuestionAnswering

TEXT = "In 1905 Einstein published four papers; physicists cost US$3.50 a day."
QUESTIONS = ["Who published papers?", "When?", "How much do physicists cost?"]
COLOURS = ("red", "green", "blue", "white")
ANIMALS = ("cat", "dog", "bird", "horse")


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory, tokenizer):
    """A checkpoint that Transformers wrote, and its model."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("fine_tuned")
    torch.manual_seed(0)
    config = transformers.ElectraConfig(**small_config(tokenizer))
    model = transformers.ElectraForQuestionAnswering(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder), model


def pipeline(source, window=128, stride=96, encoder=None, **config):
    nlp = spacy.blank("en")
    own = {"source": source, "window": window, "stride": stride, "precision": "fp32"}
    config["model"] = {"encoder": encoder or own}
    nlp.add_pipe("electra_qa", config=config)
    return nlp


def asked(nlp, text=TEXT, questions=QUESTIONS):
    doc = nlp.make_doc(text)
    doc._.questions = list(questions)
    return doc


def example(nlp, text, questions, answers):
    """Answers as tokens from and to, or None."""
    predicted, reference = asked(nlp, text, questions), asked(nlp, text, questions)
    reference._.answers = [
        None if answer is None else reference[slice(*answer)] for answer in answers
    ]
    return Example(predicted, reference)


def found(doc):
    """All that the component sets, as plain data."""
    answers = [each and (each.exact_text, each.score) for each in doc._.answers]
    candidates = [
        [(each.start, each.end, each.exact_text, each.score) for each in row]
        for row in doc._.answer_candidates
    ]
    return answers, candidates, doc._.no_answer_scores


def assert_close(ours, theirs):
    """Equal but for the last digits of floats, whatever lies in what."""
    if isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-3)
    else:
        assert ours == theirs


def assert_same(docs, others):
    for doc, other in zip(docs, others, strict=True):
        assert_close(found(doc), found(other))


def answers_of_transformers(model, tokenizer, question, text, longest):
    """By the rule of SQuAD 2.0, all spans one by one: (start, end, probability)."""
    encoding = tokenizer(question, text)
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(encoding.ids)[None],
            token_type_ids=torch.from_numpy(encoding.token_type_ids)[None],
        )
    starts, ends = output.start_logits[0], output.end_logits[0]
    context = np.flatnonzero(encoding.token_type_ids)[:-1]
    allowed = torch.full_like(starts, -torch.inf)
    allowed[context] = allowed[0] = 0.0
    starts, ends = (starts + allowed).softmax(0), (ends + allowed).softmax(0)
    spans = [
        (*encoding.offsets[[i, j]].ravel()[[0, 3]], float(starts[i] * ends[j]))
        for i in context
        for j in context
        if i <= j < i + longest
    ]
    null = float((output.start_logits + output.end_logits)[0, 0])
    best = max(
        float(output.start_logits[0, i] + output.end_logits[0, j])
        for i in context
        for j in context
        if i <= j < i + longest
    )
    return sorted(spans, key=lambda span: -span[2]), null - best


@pytest.mark.parametrize("longest", [1, 8])
def test_answers_are_those_of_transformers(fine_tuned, tokenizer, longest):
    source, model = fine_tuned
    nlp = pipeline(source, max_answer_length=longest, n_best=4)
    doc = nlp(asked(nlp))
    assert len(doc._.answers) == len(doc._.answer_candidates) == 3
    for i, question in enumerate(QUESTIONS):
        expected, margin = answers_of_transformers(
            model, tokenizer, question, TEXT, longest
        )
        assert doc._.no_answer_scores[i] == pytest.approx(margin, abs=1e-4)
        best = {}
        for start, end, score in expected:
            tokens = doc.char_span(start, end, alignment_mode="expand")
            best.setdefault((tokens.start, tokens.end), (TEXT[start:end], score))
        row = doc._.answer_candidates[i]
        assert len(row) == 4
        for answer, (tokens, (text, score)) in zip(row, best.items(), strict=False):
            assert (answer.start, answer.end) == tokens
            assert answer.exact_text == text
            assert answer.score == pytest.approx(score, rel=1e-3)
            assert text in answer.text
        if margin > 0:
            assert doc._.answers[i] is None
        else:
            assert doc._.answers[i] == row[0]


@pytest.mark.filterwarnings("ignore")
def test_best_answer_is_that_of_the_pipeline_of_transformers(fine_tuned):
    import transformers

    source, model = fine_tuned
    theirs = transformers.pipeline(
        "question-answering",
        model=model,
        tokenizer=transformers.ElectraTokenizerFast.from_pretrained(source),
        device="cpu",
    )
    nlp = pipeline(source, no_answer_threshold=None, max_answer_length=10)
    doc = nlp(asked(nlp))
    for answer, question in zip(doc._.answers, QUESTIONS, strict=True):
        expected = theirs(
            question=question,
            context=TEXT,
            max_answer_len=10,
            align_to_words=False,
            handle_impossible_answer=False,
        )
        assert answer.exact_text == expected["answer"]
        assert answer.score == pytest.approx(expected["score"], rel=1e-3)


def test_places_differ_in_bf16_as_well(fine_tuned):
    nlp = pipeline(
        fine_tuned[0], encoder={"source": fine_tuned[0], "precision": "bf16"}
    )
    text = " ".join(map(str, range(100)))
    (outputs,) = nlp.get_pipe("electra_qa").predict([asked(nlp, text, ["What?"])])[0]
    assert len(np.unique(outputs.values)) > 0.98 * outputs.values.size


def test_long_text_is_read_in_windows_each_with_the_question(fine_tuned, tokenizer):
    source, model = fine_tuned
    nlp = pipeline(source, window=48, stride=24)
    doc = asked(nlp, TEXT * 4, QUESTIONS[:1])
    (outputs,) = nlp.get_pipe("electra_qa").predict([doc])[0]
    ids = outputs.pieces.ids
    question = tokenizer.encode_ids(QUESTIONS[:1])[0]
    before = [tokenizer.cls_token_id, *question, tokenizer.sep_token_id]
    assert len(outputs.seen) > 3 and outputs.seen[-1, 1] == len(ids)
    first = 0
    for window, (start, end) in enumerate(outputs.seen.tolist()):
        row = [*before, *ids[start:end].tolist(), tokenizer.sep_token_id]
        assert len(row) <= 48
        types = [0] * len(before) + [1] * (len(row) - len(before))
        with torch.no_grad():
            theirs = model(torch.tensor([row]), token_type_ids=torch.tensor([types]))
        theirs = torch.cat([theirs.start_logits, theirs.end_logits]).T.numpy()
        count = outputs.window_sizes[window] - 1
        own = outputs.cls_rows[window]
        np.testing.assert_allclose(outputs.values[own], theirs[0], atol=1e-4)
        shift = len(before) + first - start
        np.testing.assert_allclose(
            outputs.values[own + 1 : own + 1 + count],
            theirs[shift : shift + count],
            atol=1e-4,
        )
        first += count
    assert first == len(ids)
    answer = nlp(doc)._.answer_candidates[0][0]
    assert answer.text in doc.text


def test_loss_and_gradients_are_those_of_torch(fine_tuned, tokenizer):
    source, model = fine_tuned
    nlp = pipeline(source)
    component = nlp.get_pipe("electra_qa")
    # "Einstein", no answer, "US$3.50", of which the reference has the characters.
    answers = [(2, 3), None, (10, 12)]
    examples = [example(nlp, TEXT, QUESTIONS, answers)]
    model = type(model).from_pretrained(source).train()
    loss = 0.0
    for question, answer in zip(QUESTIONS, answers, strict=True):
        encoding = tokenizer(question, TEXT)
        output = model(
            input_ids=torch.from_numpy(encoding.ids)[None],
            token_type_ids=torch.from_numpy(encoding.token_type_ids)[None],
        )
        rows = np.array([0, *np.flatnonzero(encoding.token_type_ids)[:-1]])
        if answer is None:
            target = [0, 0]
        else:
            span = examples[0].reference[slice(*answer)]
            bounds = encoding.offsets[rows]
            touches = (bounds[:, 1] > span.start_char) & (bounds[:, 0] < span.end_char)
            touches[0] = False
            target = np.flatnonzero(touches)[[0, -1]]
        for logits, place in zip(
            (output.start_logits, output.end_logits), target, strict=True
        ):
            loss = loss + F.cross_entropy(logits[0, rows], torch.tensor(place)) / 6
    loss.backward()
    losses = nlp.update(examples, sgd=False, losses={})
    assert losses["electra_qa"] == pytest.approx(loss.item(), rel=1e-5)
    theirs = ElectraForQuestionAnswering.from_hugging_face(
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


def test_stream_gives_what_each_doc_gives_alone(fine_tuned):
    nlp = pipeline(fine_tuned[0], window=48, stride=24)
    texts = [TEXT, "", TEXT * 3, " \n", "Bern", TEXT]
    questions = [QUESTIONS, ["Who?"], QUESTIONS[:1], ["What?"], [], QUESTIONS]
    make = [asked(nlp, text, row) for text, row in zip(texts, questions, strict=True)]
    alone = [nlp(doc.copy()) for doc in make]
    for size in (1, 4, 100):
        assert_same(nlp.pipe([doc.copy() for doc in make], batch_size=size), alone)
    assert_same(nlp.pipe(make, n_process=2, batch_size=3), alone)


def test_docs_without_questions_or_text_have_documented_results(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    bare = nlp(TEXT)
    assert bare._.questions == bare._.answers == bare._.answer_candidates == []
    assert bare._.no_answer_scores == []
    for text in ("", " \n "):
        empty = nlp(asked(nlp, text, ["Who?", "When?"]))
        assert empty._.answers == [None, None]
        assert empty._.answer_candidates == [[], []]
        assert empty._.no_answer_scores == [float("inf")] * 2
    silent = nlp(asked(nlp, TEXT, [""]))
    assert len(silent._.answer_candidates[0]) == 5


def test_threshold_decides_what_has_no_answer(fine_tuned):
    nlp = pipeline(fine_tuned[0], n_best=2)
    component = nlp.get_pipe("electra_qa")
    doc = nlp(asked(nlp))
    middle = float(np.median(doc._.no_answer_scores))
    component.no_answer_threshold = middle
    answers = nlp(asked(nlp))._.answers
    for answer, score in zip(answers, doc._.no_answer_scores, strict=True):
        assert (answer is None) == (score > middle)
    component.no_answer_threshold = None
    doc = nlp(asked(nlp))
    assert doc._.answers == [row[0] for row in doc._.answer_candidates]
    assert all(len(row) == 2 for row in doc._.answer_candidates)
    component.no_answer_threshold = -1e9
    assert nlp(asked(nlp))._.answers == [None] * 3
    # No piece, no answer, whatever the threshold.
    component.no_answer_threshold = None
    assert nlp(asked(nlp, "", ["Who?"]))._.answers == [None]


def test_saved_pipeline_gives_equal_answers(fine_tuned, tmp_path):
    nlp = pipeline(fine_tuned[0], n_best=3, max_answer_length=7)
    nlp.get_pipe("electra_qa").no_answer_threshold = 0.25
    doc = nlp(asked(nlp))
    nlp.to_disk(tmp_path / "pipeline")
    opened = spacy.load(tmp_path / "pipeline")
    again = pipeline("nothing", n_best=3, max_answer_length=7)
    again.from_bytes(nlp.to_bytes())
    for other in (opened, again):
        assert found(other(asked(other))) == found(doc)
        cfg = other.get_pipe("electra_qa").cfg
        assert cfg["no_answer_threshold"] == 0.25 and cfg["max_answer_length"] == 7
    (same,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    assert found(same) == found(doc)


def story(nlp, chance):
    """A text that has an animal, and in every other case its colour."""
    colour = chance.choice(COLOURS) if chance.random() < 0.5 else None
    animal = chance.choice(ANIMALS)
    words = [chance.choice(["the river", "a house", "my friend"]), "saw the", animal]
    words[2:2] = [colour] if colour else []
    text = " ".join([*words, "near", chance.choice(["it", "them"])])
    tokens = text.split()
    place = tokens.index(animal)
    answers = [(place, place + 1), (place - 1, place) if colour else None]
    return example(nlp, text, ["which animal?", "which colour?"], answers)


@pytest.fixture
def untrained(tmp_path, tokenizer):
    torch.manual_seed(0)
    changes = {"embedding_size": 64, "hidden_size": 64, "initializer_range": 0.1}
    config = ElectraConfig(**small_config(tokenizer, **changes))
    ElectraForQuestionAnswering(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def learn(nlp, steps, learn_rate=0.003):
    chance = random.Random(0)
    train, test = ([story(nlp, chance) for _ in range(n)] for n in (64, 32))
    nlp.initialize(lambda: train)
    optimizer = Adam(learn_rate, L2=0.0)
    for _ in range(steps):
        nlp.update(chance.sample(train, 8), sgd=optimizer)
    return nlp.evaluate(test)


@pytest.mark.filterwarnings("ignore:.*SW310")
def test_it_learns_what_is_asked_and_where_there_is_no_answer(untrained):
    scores = learn(pipeline(untrained), steps=40)
    assert scores["qa_em"] == scores["qa_f1"] == 1.0
    assert scores["qa_has_answer_f1"] == scores["qa_no_answer_acc"] == 1.0


@pytest.mark.filterwarnings("ignore:.*SW310")
def test_it_learns_on_the_encoder_of_an_electra_component(untrained):
    pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": untrained, "precision": "fp32"}})
    nlp.add_pipe("electra_qa", config={"model": {"encoder": SHARED_ENCODER}})
    assert learn(nlp, steps=40)["qa_em"] == 1.0
    bare = Example(nlp.make_doc("a cat"), nlp.make_doc("a cat"))
    assert nlp.update([bare], losses={})["electra_qa"] == 0.0


def test_answers_on_a_shared_encoder_are_those_on_an_own(fine_tuned):
    pytest.importorskip("spacy_transformers")
    source, _ = fine_tuned
    nlp = spacy.blank("en")
    model = {"name": source, "precision": "fp32"}
    nlp.add_pipe("electra", config={"model": model, "store": False})
    nlp.add_pipe("electra_qa", config={"model": {"encoder": SHARED_ENCODER}})
    nlp.initialize()
    own = pipeline(source)
    docs = [asked(nlp), nlp.make_doc(TEXT), asked(nlp, "", ["Who?"])]
    docs = list(nlp.pipe(docs))
    same = [asked(own), own.make_doc(TEXT), asked(own, "", ["Who?"])]
    assert_same(docs, own.pipe(same))
    # Nobody else needs the states.
    assert all(doc._.trf_data is None for doc in docs)


def test_component_says_what_it_needs_and_sets(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    meta = nlp.get_pipe_meta("electra_qa")
    assert meta.requires == ["doc._.questions"]
    doc = nlp(asked(nlp))
    assert len(meta.assigns) == 3
    for name in meta.assigns:
        assert len(doc._.get(name.removeprefix("doc._."))) == 3
    assert set(meta.scores) == set(meta.default_score_weights)
    component = nlp.get_pipe("electra_qa")
    assert component.labels == () and component.label_data is None
    with pytest.raises(NotImplementedError):
        component.add_label("A")


def test_checkpoint_with_another_head_is_told(nlp):
    nlp.add_pipe("electra_qa")
    with pytest.warns(UserWarning, match=r"SW300.*'en_small' is no question-answering"):
        nlp.initialize()


def test_question_longer_than_the_window_is_refused(fine_tuned):
    nlp = pipeline(fine_tuned[0], window=32, stride=16)
    with pytest.raises(ValueError, match=r"SE120.*'why why.*40 pieces.*window of 32"):
        nlp(asked(nlp, TEXT, ["why " * 40]))


@pytest.mark.parametrize("name", ["max_answer_length", "n_best"])
def test_bad_settings_are_named(name):
    with pytest.raises(ValueError, match=rf"SE003.*{name}.*0"):
        pipeline("en_tiny", **{name: 0})


def test_examples_must_ask_the_same_on_both_docs(fine_tuned, tmp_path):
    nlp = pipeline(fine_tuned[0])
    gold = example(nlp, TEXT, QUESTIONS[:1], [(2, 3)]).reference
    DocBin(docs=[gold], store_user_data=True).to_disk(tmp_path / "gold.spacy")
    lost = list(Corpus(tmp_path / "gold.spacy")(nlp))
    with pytest.raises(ValueError, match=r"SE374.*doc._.questions.*DocCorpus"):
        nlp.initialize(lambda: lost)
    other = example(nlp, TEXT + " ", QUESTIONS[:1], [(2, 3)])
    with pytest.raises(ValueError, match=r"SE374.*doc.text"):
        nlp.update([Example(asked(nlp, TEXT, QUESTIONS[:1]), other.reference)])


def test_data_must_have_an_answer(fine_tuned):
    nlp = pipeline(fine_tuned[0])
    without = Example(asked(nlp), asked(nlp))
    with pytest.raises(ValueError, match=r"SE383.*doc._.answers.*doc._.questions"):
        nlp.initialize(lambda: [without])
    # Beside others, such a question counts for nothing.
    good = example(nlp, TEXT, QUESTIONS, [(2, 3), None, None])
    nlp.initialize(lambda: [good, without])
    both, alone = (nlp.update(part, sgd=False) for part in ([good, without], [good]))
    assert both["electra_qa"] == pytest.approx(alone["electra_qa"], rel=1e-5)
    assert nlp.update([without], sgd=False) == {"electra_qa": 0.0}
    assert nlp.update([Example(nlp.make_doc("a"), nlp.make_doc("a"))], sgd=False) == {
        "electra_qa": 0.0
    }


def test_spacy_train_learns_from_squad_files(tmp_path):
    qas = [
        {"question": "Who?", "answers": [{"text": "Einstein", "answer_start": 8}]},
        {"question": "Where?", "answers": [], "is_impossible": True},
    ]
    squad = {"data": [{"paragraphs": [{"context": TEXT, "qas": qas}] * 4}]}
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(squad), encoding="utf8")
    config = Path(__file__).parents[2] / "configs" / "qa.cfg"
    overrides = {
        "paths.train": str(path),
        "paths.dev": str(path),
        "training.max_steps": 2,
        "training.eval_frequency": 1,
    }
    with pytest.warns(UserWarning, match="SW300"):
        train(config, tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-best")
    scores = nlp.meta["performance"]
    assert 0.0 <= scores["qa_em"] <= scores["qa_f1"] <= 1.0
    assert scores["qa_no_answer_acc"] is not None
    doc = nlp(asked(nlp))
    assert len(doc._.answers) == 3 and len(doc._.answer_candidates[0]) == 5
