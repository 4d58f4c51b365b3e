"""The description on a package index, whose links lead to the repository."""

import re
from pathlib import Path

from setuptools import setup

REPOSITORY = "https://github.com/spacy-electra/spacy-electra/blob/main/"


def with_absolute_links(text: str) -> str:
    """Markdown whose links to files of the repository lead there from anywhere."""
    return re.sub(r"\]\((?!https?://|#)", f"]({REPOSITORY}", text)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf8")
    setup(
        long_description=with_absolute_links(readme),
        long_description_content_type="text/markdown",
    )
