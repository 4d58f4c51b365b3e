import gzip
import json
import warnings

import pytest
from spacy.training import Example

from spacy_electra.pipeline.questions import gold_answers
from spacy_electra.pipeline.readers.squad import SQuADCorpus

CONTEXT = "Einstein published four papers in Bern."


def answers(*texts):
    return [{"text": text, "answer_start": CONTEXT.index(text)} for text in texts]


def squad(*qas, context=CONTEXT):
    return {"data": [{"paragraphs": [{"context": context, "qas": list(qas)}]}]}


QUESTIONS = [
    {"question": "Where?", "answers": answers("Bern", "in Bern"), "id": "a"},
    {"question": "When?", "answers": [], "is_impossible": True},
    {"question": "Who?", "answers": answers("Einstein"), "is_impossible": False},
]


@pytest.fixture
def write(tmp_path):
    def write_squad(content, name="dev.json"):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf8")
        return path

    return write_squad


def test_both_docs_have_the_questions_and_the_reference_the_answers(nlp, write):
    read = SQuADCorpus(write(squad(*QUESTIONS)))
    for _ in range(2):
        (example,) = read(nlp)
        assert isinstance(example, Example)
        predicted, reference = example.predicted, example.reference
        assert predicted.text == reference.text == CONTEXT
        assert predicted._.questions == reference._.questions
        assert predicted._.questions == ["Where?", "When?", "Who?"]
        assert predicted._.answers == []
        assert gold_answers(reference) == [
            [(34, 38, 1.0), (31, 38, 1.0)],
            [],
            [(0, 8, 1.0)],
        ]


def test_questions_come_in_examples_of_the_size_asked_for(nlp, write):
    path = write(squad(*QUESTIONS))
    for size, expected in [(1, [1, 1, 1]), (2, [2, 1]), (0, [3])]:
        examples = list(SQuADCorpus(path, questions_per_doc=size)(nlp))
        assert [len(each.predicted._.questions) for each in examples] == expected
        found = [each.reference._.answers for each in examples]
        flat = [answer and answer.text for row in found for answer in row]
        assert flat == ["Bern", None, "Einstein"]
    assert len(list(SQuADCorpus(path, questions_per_doc=1, limit=2)(nlp))) == 2


def test_files_of_a_folder_are_read_and_compressed_ones(nlp, tmp_path, write):
    write(squad(QUESTIONS[0]), "b.json")
    with gzip.open(tmp_path / "a.json.gz", "wt", encoding="utf8") as file:
        json.dump(squad(QUESTIONS[2]), file)
    questions = [each.predicted._.questions for each in SQuADCorpus(tmp_path)(nlp)]
    assert questions == [["Who?"], ["Where?"]]


def test_answers_that_are_not_where_the_file_says(nlp, write):
    shifted = {"text": "Bern", "answer_start": 30}
    qas = [
        {"question": "Where?", "answers": [shifted, *answers("in Bern")]},
        {"question": "In which town?", "answers": [shifted]},
        {"question": "Who?", "answers": answers("Einstein")},
    ]
    path = write(squad(*qas))
    place = r"dev.json: data\[0\].paragraphs\[0\].qas\[0\].answers\[0\]"
    with pytest.raises(ValueError, match=f"SE377.*{place}.*'Bern'.*30.*' in '"):
        list(SQuADCorpus(path)(nlp))
    with pytest.warns(UserWarning, match=rf"SW370\] 2 answers.*{place}"):
        (example,) = SQuADCorpus(path, not_found="skip")(nlp)
    assert example.predicted._.questions == ["Where?", "Who?"]
    assert [each.text for each in example.reference._.answers] == [
        "in Bern",
        "Einstein",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [\n  {"paragraphs" 1}]}', r"SE375.*dev.json, line 2, column 17"),
        ("[" * 100_000, r"SE375.*dev.json, line 1"),
        ("[]", r"SE376\] \S*dev.json must be an object"),
        ({"version": 1}, r"SE376.*an object with 'data'"),
        ({"data": {}}, r"dev.json: data must be a list, but is \{\}"),
        ({"data": [1]}, r"dev.json: data\[0\] must be an object, but is 1"),
        (squad(context=None), r"paragraphs\[0\].context must be a string.*null"),
        (squad({"question": "Who?"}), r"qas\[0\] must be an object with 'answers'"),
        (squad({"question": 1, "answers": []}), r"qas\[0\].question must be a string"),
        (
            squad({"question": "?", "answers": [{"text": "B", "answer_start": True}]}),
            r"answers\[0\].answer_start must be an int, but is true",
        ),
        (squad({"question": "\ud800", "answers": []}), r"without half characters"),
    ],
)
def test_malformed_files_are_named_with_the_place(nlp, write, content, message):
    with pytest.raises(ValueError, match=message):
        list(SQuADCorpus(write(content))(nlp))


def test_files_that_are_no_text_are_named(nlp, tmp_path):
    path = tmp_path / "dev.json"
    path.write_bytes(b'{"data":\n "\xff"}')
    with pytest.raises(ValueError, match=r"SE402.*dev.json, line 2"):
        list(SQuADCorpus(path)(nlp))
    with pytest.raises(FileNotFoundError, match=r"SE380.*nothing.json"):
        list(SQuADCorpus(tmp_path / "nothing.json")(nlp))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"SE401.*\.json"):
        list(SQuADCorpus(tmp_path / "empty")(nlp))


@pytest.mark.parametrize(
    "arguments", [{"limit": -1}, {"questions_per_doc": -1}, {"not_found": "drop"}]
)
def test_bad_arguments_are_named(tmp_path, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SQuADCorpus(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("name", "questions", "without"),
    [("dev-1.1.rebuilt.json", 10_570, 0), ("dev-v2.0.rebuilt.json", 11_873, 5_945)],
)
def test_real_files_are_read_whole(nlp, shared_data, name, questions, without):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples = list(SQuADCorpus(shared_data / "squad_dev" / name)(nlp))
    gold = [row for each in examples for row in gold_answers(each.reference)]
    assert len(gold) == questions
    assert sum(not row for row in gold) == without
