"""Thousands of random texts get the pieces that Transformers gives them.

SPACY_ELECTRA_FUZZ=100000 runs as many texts, with other seeds each time.
"""

import os
import random

import pytest
import transformers

from spacy_electra.tokenization import ElectraTokenizer

# Letters, marks and signs that normalization treats in ways of their own.
ALPHABETS = [
    "abcdefgh THE the cat dog, .!? -_'\"()[]",
    "äöüßéèñçåøÄÖÜ \ufb01½ⅫİıǅŐ\u0308\u0301",
    "한국어 조선말 \u1112\u1161\u11ab \u1100\u1161\u11a8",
    "東京に行く 漢字カナ\uff76\uff9e\u309b 𠀀𪚥",
    "नमस्ते दुनिया ไทยคำ สวัสดี العربية עברית",
    "\u0300\u0301\u0308\u20dd\u200b\u200c\u200d\ufeff\u00ad\u2028\u2029\x85",
    "\x00\x01\x07\x1b\x1c\x1d\x1e\x1f\x7f\ufffd\ufffe\uffff\U0010ffff",
    "😀👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪♥️",
    " \t\n\r\v\f\u00a0\u1680\u2003\u3000",
    "0123456789\u0660\u0661½²³①",
]
WHOLE = ["[MASK]", "[CLS]", "[UNK]", "[mask]", "##ing", "a" * 120, "http://a.b/c?d=e"]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        if rng.random() < 0.15:
            parts.append(rng.choice(WHOLE))
        elif rng.random() < 0.1:
            code = rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)])
            parts.append(chr(code))
        else:
            alphabet = rng.choice(ALPHABETS)
            parts.append("".join(rng.choices(alphabet, k=rng.randrange(1, 15))))
        parts.append(rng.choice(["", " ", " "]))
    return "".join(parts)


@pytest.mark.parametrize(
    "options",
    [{}, {"do_lower_case": False}, {"strip_accents": False}],
    ids=["uncased", "cased", "accents"],
)
def test_random_texts_have_the_pieces_of_transformers(tokenizer, tmp_path, options):
    ours = ElectraTokenizer(tokenizer.vocab, **options)
    ours.save_pretrained(tmp_path)
    theirs = transformers.ElectraTokenizerFast.from_pretrained(tmp_path)
    count = os.environ.get("SPACY_ELECTRA_FUZZ")
    seed = random.randrange(2**32) if count else 12
    print("seed", seed)
    rng = random.Random(seed)
    texts = [random_text(rng) for _ in range(int(count or 2000))]
    asked = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    assert dict(ours(texts, **asked)) == dict(theirs(texts, **asked))
    pairs = texts[::-1]
    asked.update(padding=True, truncation=True, max_length=32)
    assert dict(ours(texts, pairs, **asked)) == dict(theirs(texts, pairs, **asked))
    rows = zip(texts, ours.encode_batch(texts), ours.encode_ids(texts), strict=True)
    for text, encoding, ids in rows:
        assert encoding.ids.tolist() == ids.tolist()
        assert (encoding.offsets <= len(text)).all()
        assert (encoding.offsets[:, 0] <= encoding.offsets[:, 1]).all()
