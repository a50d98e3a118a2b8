"""Benchmarks: run by hand or by CI, printed as JSON lines; tests never assert times."""
