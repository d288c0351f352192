"""Training: configuration, data, loop, checkpoints."""
