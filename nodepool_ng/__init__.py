"""nodepool_ng keeps a warm pool of single-use machines for CI systems."""
