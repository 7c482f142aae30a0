"""RESULTS.md, of which each script writes its own section."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def enter(lines: list[str]) -> None:
    """Write a section, whose first line is its heading, over its previous version."""
    path = HERE / "RESULTS.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = re.split(r"^(?=# )", text, flags=re.M)
    sections = [part.rstrip() for part in parts if part.strip()]
    headings = [part.partition("\n")[0] for part in sections]

    section = "\n".join(lines).rstrip()
    if lines[0] in headings:
        sections[headings.index(lines[0])] = section
    else:
        sections.append(section)
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
