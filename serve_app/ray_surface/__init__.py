"""Ray surface: every use of private parts of Ray, Ray Serve and uvicorn (`patches.PATCHES`).

Not here: what needs only Ray's public API, and the rules of HAProxy's configuration.
"""
