"""Markdown that may still be growing: cut into small blocks, each laid out in rows only when it is seen."""
