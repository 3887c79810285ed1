"""Settings: declared fields, `TrainConfig`, paths, and the command-line flags derived from them."""
