"""What makes the weights of the semantic layer: `python -m hychat.safety.training DATA_FOLDER` (extra `train`)."""
