"""Training itself: model, optimizer, learning rates, and the loop over an epoch."""
