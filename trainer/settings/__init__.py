"""Settings: declared fields, `TrainConfig`, paths, and command-line flags made from them."""
