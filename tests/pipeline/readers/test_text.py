import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_electra.pipeline.readers.text import TextCorpus, cut_at_white_space


def test_documents_become_examples(nlp, tmp_path):
    with lzma.open(tmp_path / "a.txt.xz", "wt") as lines:
        lines.write("First document.\n\nSecond one.\n")
    (tmp_path / "b.jsonl").write_text('{"text": "Third"}\n')
    read = TextCorpus(tmp_path)
    for _ in range(2):
        texts = [example.text for example in read(nlp)]
        assert texts == ["First document.", "Second one.", "Third"]
    assert len(list(TextCorpus(tmp_path, limit=2)(nlp))) == 2


def test_document_longer_than_the_pipeline_allows_is_cut(nlp, tmp_path):
    nlp.max_length = 50
    text = "word " * 100
    (tmp_path / "a.txt").write_text(text)
    examples = list(TextCorpus(tmp_path, max_length=50)(nlp))
    assert "".join(example.text for example in examples) == text.strip()


@given(text=st.text(alphabet="ab \n", max_size=200), length=st.integers(1, 30))
def test_parts_add_up_and_keep_the_bound(text, length):
    parts = list(cut_at_white_space(text, length))
    assert "".join(parts) == text
    assert all(len(part) <= length for part in parts)
    for part in parts[:-1]:
        assert part[-1].isspace() or not any(map(str.isspace, part))


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="max_length"):
        TextCorpus(tmp_path, max_length=-1)
