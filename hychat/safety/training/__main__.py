"""`python -m hychat.safety.training DATA_FOLDER`: make the weights and the card."""

from argparse import ArgumentParser
from importlib.resources import files
from pathlib import Path

from hychat.safety.training.pipeline import Recipe, train


def main() -> None:
    """Read the arguments, train."""
    parser = ArgumentParser(
        prog="python -m hychat.safety.training", description="Make the weights of the safety filter."
    )
    parser.add_argument("folder", type=Path, help="holds train/*.jsonl.gz and dev/*.jsonl.gz")
    parser.add_argument(
        "--out", type=Path, default=Path(str(files("hychat.safety.model"))), help="where the weights and CARD.md go"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    train(given.folder, given.out, Recipe(seed=given.seed, n_threads=given.threads))


if __name__ == "__main__":
    main()
