"""A deterministic simulation of the lake: real code, fake store, fake time, seeded misfortune.

Writers, sealers and erasers run as they are. The store answers late, twice, wrongly or never;
processes die between any two store calls, pause for minutes, and disagree about the time. One
seed is one story; the same seed tells it again.
"""
