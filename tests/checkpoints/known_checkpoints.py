"""Published facts of ELECTRA checkpoints: folders rebuilt from them, and their table.

``python tests/checkpoints/known_checkpoints.py`` writes it into the page.
"""

import itertools
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "tests" / "fixtures" / "known_checkpoints.json"
PAGE = ROOT / "docs" / "known_checkpoints.md"
BEGIN = "<!-- written by tests/checkpoints/known_checkpoints.py -->"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What a vocabulary is filled with, and a sentence in these letters.
LETTERS = {
    "ko": (
        "".join(chr(0xAC00 + 28 * n) for n in range(399)),
        "나비가 우리 나라 하나",
    ),
    "zh": ("".join(chr(0x4E00 + n) for n in range(6000)), "一丁七万"),
    "ja": ("".join(chr(0x3042 + n) for n in range(80)) + "東京都学校", "東京 まち"),
    "de": ("abcdefghijklmnopqrstuvwxyzäöüß", "über die straße"),
    "tr": ("abcdefghijklmnopqrstuvwxyzçğıöşü", "güneş doğdu"),
    "es": ("abcdefghijklmnopqrstuvwxyz", "el niño"),
    "bn": ("".join(chr(0x0995 + n) for n in range(19)), "কখগ ঘঙ"),
    "ar": ("".join(chr(0x0627 + n) for n in range(20)), "بتث جحخ"),
    "en": ("abcdefghijklmnopqrstuvwxyz", "the river"),
}
THIN = {
    "embedding_size": 8,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
# Where no source says how large a vocabulary is.
SOME_SIZE = 12_000


def known():
    """The facts, by name."""
    rows = json.loads(FACTS.read_text(encoding="utf8"))["checkpoints"]
    return {row["name"]: row for row in rows}


def vocabulary(row):
    """As many pieces as published, made up, but for those whose ids are known."""
    letters, _ = LETTERS[row["language"]]
    size = row["vocab_size"] or SOME_SIZE
    places = dict(row["special_ids"])
    if row["example"]:
        places.update(zip(row["example"]["pieces"], row["example"]["ids"], strict=True))
    if row["unused"] and row["name"].startswith("KoELECTRA"):
        places.update({f"[unused{n}]": size - 200 + n for n in range(200)})
    by_id = {n: piece for piece, n in places.items() if n is not None}
    made_up = (p for p in _different(_pieces(row, letters)) if p not in places)
    # Special pieces of which no source says where they are come first.
    rest = itertools.chain([p for p, n in places.items() if n is None], made_up)
    pieces = [by_id.get(n) or next(rest) for n in range(size)]
    assert len(set(pieces)) == size
    return pieces


def _different(pieces):
    seen = set()
    for piece in pieces:
        if piece not in seen:
            seen.add(piece)
            yield piece


def _pieces(row, letters):
    settings = row["tokenizer_config"] or {}
    yield from settings.get("never_split") or ()
    yield from letters
    if row["vocabulary"] == "characters":
        yield from (
            chr(code) for code in range(0xAC00, 0xD7A4) if chr(code) not in letters
        )
        yield from (chr(code) for code in range(0x4E00, 0x9FA6))
    yield from (f"##{letter}" for letter in letters)
    if row["language"] == "ja":
        yield from ("東京", "東京都", "学校")
    if row["language"] == "zh":
        # No word is more than one of them.
        yield from (chr(0x4E00 + n) for n in range(6000, 20_000))
    for length in (2, 3, 4):
        for parts in itertools.product(letters, repeat=length):
            yield "".join(parts)
            yield "##" + "".join(parts)


def config_of(row):
    """The published config.json, or what is known of it, with thin layers."""
    size = len(vocabulary(row))
    return {
        "model_type": "electra",
        **(row["config"] or {}),
        **THIN,
        "vocab_size": size,
    }


def rebuild(row, folder):
    """Write the files of a checkpoint but for its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", config_of(row))
    if row["tokenizer_config"] is not None:
        _write(folder / "tokenizer_config.json", row["tokenizer_config"])
    if row["added_tokens"] is not None:
        _write(folder / "added_tokens.json", row["added_tokens"])
    pieces = vocabulary(row)
    if row["vocabulary"] == "BPE":
        vocab = {piece: number for number, piece in enumerate(pieces)}
        model = {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": False}
        _write(folder / "tokenizer.json", {"version": "1.0", "model": model})
    else:
        text = "".join(f"{piece}\n" for piece in pieces)
        (folder / "vocab.txt").write_bytes(text.encode("utf8"))
    return folder


def settings_of(row):
    """What the table says to write, as arguments of a tokenizer."""
    return {key: value for key, value in (row["write"] or {}).items() if key != "name"}


def _write(file, content):
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")


def table(rows):
    """The lines of the page that are made of the facts."""
    lines = [
        "| checkpoint | pieces | case, accents | ids of "
        + " ".join(f"`{piece}`" for piece in SPECIALS)
        + " | embedding, width × layers | what its tokenizer needs | here | tried on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    lines += ["", "## Sources", ""]
    for row in rows:
        links = ", ".join(f"[{fact}]({url})" for fact, url in row["sources"].items())
        unknown = "; ".join(row["unconfirmed"])
        models = ", ".join(f"`{model}`" for model in row["models"])
        lines.append(f"- **{row['name']}** ({models}): {links}.")
        if unknown:
            lines[-1] += f" Not confirmed: {unknown}."
    return "\n".join(lines) + "\n"


def _cells(row):
    sizes = [
        f"{name} {embedding}, {width} × {layers}"
        for name, (embedding, width, layers) in row["sizes"].items()
    ]
    numbers = ["?" if n is None else str(n) for n in row["special_ids"].values()]
    yield f"{row['name']} ({row['language']})"
    yield f"{row['vocab_size']:,}" if row["vocab_size"] else "?"
    yield _case(row)
    yield " ".join(numbers)
    yield "; ".join(sizes) or "?"
    yield row["needs"]
    yield _here(row)
    yield row["tried"]


def _case(row):
    if row["lowercases"] is None:
        return "?"
    case = "ignored" if row["lowercases"] else "kept"
    accents = "ignored" if row["strips_accents"] else "kept"
    return case if case == accents else f"{case}, {accents}"


def _here(row):
    if row["write"] is None:
        return f"refused ({row['refused']})"
    lines = [f"`{key} = {json.dumps(value)}`" for key, value in row["write"].items()]
    told = f", else {row['refused']}" if row["refused"] else ""
    warned = f"; warns ({row['warns']})" if row["warns"] else ""
    return ("opens with " + ", ".join(lines) if lines else "opens") + told + warned


def written(page, rows):
    """The page with a new table."""
    return page[: page.index(BEGIN) + len(BEGIN)] + "\n\n" + table(rows)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf8")
    PAGE.write_text(written(page, list(known().values())), encoding="utf8")
