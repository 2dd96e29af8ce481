"""Tables as a model reads them best: the rows of Markdown."""

from collections.abc import Sequence


def table_row(cells: Sequence[str]) -> str:
    """One row; nothing where all its cells are empty, and a lone cell without its frame."""
    texts = [" ".join(cell.split()).replace("|", "\\|") for cell in cells]
    if len(texts) == 1:
        return cells[0]
    return f"| {' | '.join(texts)} |" if any(texts) else ""


def table(rows: Sequence[Sequence[str]]) -> str:
    """All of it; the first row is taken for its head."""
    lines = [line for row in rows if (line := table_row(row))]
    if len(lines) > 1 and len(rows[0]) > 1:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)
