"""Samplers, which suggest trials, and pruners, which stop, suspend or resume them."""
