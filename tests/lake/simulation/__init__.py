"""Deterministic simulation of the lake: real code, simulated store and clock, seeded faults.

Writers, sealers and erasers run unchanged. The store answers late, twice, wrongly or never;
processes die between any two store calls, pause for minutes, and disagree about the time. One
seed is one story: an order of events that the same seed repeats.
"""
