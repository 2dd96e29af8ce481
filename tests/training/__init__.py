"""What needs torch, which no check installs: `make training-check`."""
