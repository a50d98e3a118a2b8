"""ASGI: middleware and the server of a replica, below all routes.

Not here: routes, and patches of Ray Serve's controller (`serve_app/serve_patches`).
"""
