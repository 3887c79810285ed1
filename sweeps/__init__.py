"""Search hyperparameters without ever training the same epoch twice."""
