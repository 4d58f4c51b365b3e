"""Pages of the site that are made of other files: errors, configs, the project."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from spacy_electra.errors import Errors, Warnings

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
# A link to a file of the repository that the site shows on a page of its own.
TO_CONFIG = re.compile(r"\]\((?:\.\./)+configs/(\w+)\.cfg\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    pages = {
        "errors.md": errors_page(),
        "configs.md": configs_page(),
        "project.md": (ROOT / "project" / "README.md").read_text(encoding="utf8"),
        "glossary.md": glossary_page(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Point links to configs at the page that shows them."""
    depth = page.file.src_uri.count("/")
    up = "../" * depth
    markdown = TO_CONFIG.sub(lambda found: f"]({up}configs.md#{found[1]})", markdown)
    # The project's file is shown nowhere; its README says what is in it.
    return markdown.replace("[`project.yml`](project.yml)", "`project.yml`")


def errors_page() -> str:
    """Every message with its code."""
    lines = [
        "# Errors and warnings by code",
        "",
        "Blanks in braces are filled with the values at hand. `SE` are errors, `SW` "
        "warnings.",
        "",
    ]
    for title, messages in (("Errors", Errors), ("Warnings", Warnings)):
        lines += [f"## {title}", "", "| code | message |", "|---|---|"]
        for message in messages:
            text = message.value.replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{message.name}` | {' '.join(text.split())} |")
        lines.append("")
    return "\n".join(lines)


def configs_page() -> str:
    """Each config that ships, whole, with the lines that say what it is for first."""
    lines = ["# Configs", "", "Complete and filled, one for each job.", ""]
    for file in CONFIGS:
        text = file.read_text(encoding="utf8")
        lines += [f"## {file.stem}", "", "```ini", text.rstrip(), "```", ""]
    return "\n".join(lines)


def glossary_page() -> str:
    """The glossary of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    return "# Glossary\n" + text.partition("## Glossary")[2]
