import json

import pytest
import spacy

from spacy_electra.pipeline.choices import gold_choice
from spacy_electra.pipeline.readers.choices import ChoiceCorpus, MCTestCorpus

STORY = "Jessie had a party.\\newlineLion\\tabcame."
ASKED = [
    ("one: Who had a party?", "Jessie", "no one", "Lion", "Tiger"),
    ("multiple: Who came?", "Tiger", "Snake", "Jessie", "Lion"),
    ("one: When?", "today", "later", "now", "never"),
    ("one: Why?", "so", "because", "for fun", "who knows"),
]


def write_mctest(folder, answers="A\tD\tB\tC\n", drop=0, name="few"):
    columns = ["few.0", "Author: 1", STORY, *(part for row in ASKED for part in row)]
    line = "\t".join(columns[: len(columns) - drop])
    (folder / f"{name}.tsv").write_text(line + "\n", encoding="utf8")
    if answers is not None:
        (folder / f"{name}.ans").write_text(answers, encoding="utf8")
    return folder / f"{name}.tsv"


def test_each_question_of_a_story_is_an_example(nlp, tmp_path):
    path = write_mctest(tmp_path)
    for place in (path, tmp_path, tmp_path / "f*.tsv"):
        examples = list(MCTestCorpus(place)(nlp))
        assert len(examples) == 4
        for example, row in zip(examples, ASKED, strict=True):
            for doc in (example.predicted, example.reference):
                assert doc.text == "Jessie had a party.\nLion\tcame."
                assert doc._.question == row[0].split(": ")[1]
                assert doc._.choices == list(row[1:])
            assert example.predicted._.choice is None
        assert [gold_choice(each.reference) for each in examples] == [0, 3, 1, 2]
    assert len(list(MCTestCorpus(path, limit=3)(nlp))) == 3


def test_malformed_stories_and_answers_are_named(nlp, tmp_path):
    def problem(**changes):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            list(MCTestCorpus(write_mctest(tmp_path, **changes))(nlp))
        return str(caught.value)

    assert "few.tsv, line 1: 22 columns" in problem(drop=1)
    assert "few.ans, line 1: 3 columns" in problem(answers="A\tB\tC\n")
    assert "few.ans, line 1 must be one of A, B, C, D" in problem(answers="A\tB\t\tC\n")
    assert "few.ans must be of 1 lines" in problem(answers="A\tB\tC\tD\n" * 2)
    assert "SE381" in problem(answers=None, name="without")


@pytest.mark.parametrize(
    ("name", "stories"), [("mc160.train", 70), ("mc500.dev", 50), ("mc500.test", 150)]
)
def test_real_stories_are_read_whole(nlp, shared_data, name, stories):
    examples = list(MCTestCorpus(shared_data / "mctest" / f"{name}.tsv")(nlp))
    assert len(examples) == 4 * stories
    gold = [gold_choice(each.reference) for each in examples]
    assert {*gold} == {0, 1, 2, 3}


def write_lines(path, *lines):
    rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(rows), encoding="utf8")
    return path


def test_lines_have_any_number_of_choices(nlp, tmp_path):
    path = write_lines(
        tmp_path / "a.jsonl",
        {"text": "It is dark.", "choices": ["night", "day"], "choice": 0},
        "",
        {"text": "", "question": "What?", "choices": ["x"], "choice": 0},
        {"text": "He", "choices": ["ran", "sat", "is"], "choice": 2, "id": 7},
    )
    examples = list(ChoiceCorpus(path)(nlp))
    found = [
        (each.text, each.predicted._.question, each.predicted._.choices)
        for each in examples
    ]
    assert found == [
        ("It is dark.", "", ["night", "day"]),
        ("", "What?", ["x"]),
        ("He", "", ["ran", "sat", "is"]),
    ]
    assert [gold_choice(each.reference) for each in examples] == [0, 0, 2]
    assert all(each.predicted._.choice is None for each in examples)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "SE375.*a.jsonl, line 2, column 2"),
        ({"text": "a", "choices": []}, r"line 2: choices must be a list with at"),
        ({"text": "a", "choices": ["b"]}, r"line 2 must be an object with 'choice'"),
        ({"text": "a", "choices": ["b"], "choice": 1}, "choice must be from 0 to 0"),
        ({"text": "a", "choices": ["b"], "choice": "b"}, "choice must be an int"),
        ({"text": "a", "choices": ["b", 1], "choice": 0}, r"choices\[1\] must be a st"),
        ({"choices": ["b"], "choice": 0}, "an object with 'text'"),
        ({"text": "a", "question": 1, "choices": ["b"], "choice": 0}, "question must"),
    ],
)
def test_malformed_lines_are_named(nlp, tmp_path, line, message):
    good = {"text": "a", "choices": ["b"], "choice": 0}
    path = write_lines(tmp_path / "a.jsonl", good, line)
    with pytest.raises(ValueError, match=message):
        list(ChoiceCorpus(path)(nlp))
    with pytest.raises(ValueError, match="limit"):
        ChoiceCorpus(path, limit=-1)


def test_readers_are_found_by_name():
    for name in ("SQuADCorpus", "MCTestCorpus", "ChoiceCorpus", "DocCorpus"):
        assert callable(spacy.registry.readers.get(f"spacy-electra.{name}.v1"))
