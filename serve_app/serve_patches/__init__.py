"""Serve patches: changes of Ray Serve's controller and HAProxy manager, where Ray has no setting.

Not here: what runs within a replica (`serve_app/asgi`).
"""
