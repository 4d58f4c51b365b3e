import pytest
from spacy.tokens import DocBin

from spacy_electra.pipeline.questions import gold_answers, register_questions
from spacy_electra.pipeline.readers.docbin import DocCorpus


@pytest.fixture
def path(nlp, tmp_path):
    register_questions()
    doc, bare = nlp("Einstein published four papers."), nlp("Nobody asks.")
    doc._.questions = ["Who?", "Where?"]
    doc._.answers = [doc[:1], None]
    path = tmp_path / "gold.spacy"
    DocBin(docs=[doc, bare], store_user_data=True).to_disk(path)
    return path


def test_predicted_docs_get_the_questions_and_not_the_answers(nlp, path):
    asked, bare = DocCorpus(path)(nlp)
    assert asked.predicted._.questions == ["Who?", "Where?"]
    assert asked.predicted._.answers == []
    assert gold_answers(asked.reference) == [[(0, 8, 1.0)], []]
    assert bare.predicted._.questions == []
    assert len(list(DocCorpus(path, limit=1)(nlp))) == 1


def test_only_the_attributes_asked_for_are_copied(nlp, path):
    asked, _ = DocCorpus(path, attributes=["choices"])(nlp)
    assert asked.predicted._.questions == []
