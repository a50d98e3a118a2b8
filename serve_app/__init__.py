"""The HTTP door: uploads, images, accounts, health. Ray Serve only in `app.py`."""
