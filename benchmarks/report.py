"""RESULTS.md, of which each script writes a section of its own."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def enter(lines: list[str]) -> None:
    """Put a section, whose first line is its heading, in the place of that of before."""
    path = HERE / "RESULTS.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = [
        part.rstrip() for part in re.split(r"^(?=# )", text, flags=re.M) if part.strip()
    ]
    headings = [part.partition("\n")[0] for part in sections]
    section = "\n".join(lines).rstrip()
    if lines[0] in headings:
        sections[headings.index(lines[0])] = section
    else:
        sections.append(section)
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
