"""Benchmarks, run manually or by CI; they print JSON lines. Tests never assert times."""
