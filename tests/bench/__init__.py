"""Speed and memory as ratios against other programs: `python -m tests.bench`. README.md says what it needs."""
