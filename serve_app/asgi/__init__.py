"""ASGI: middleware and the server of a replica, below all routes.

Not here: routes, and patches of Ray Serve and uvicorn (`serve_app/ray_surface`).
"""
