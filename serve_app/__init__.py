"""HTTP API: uploads, reads, presets, accounts, health. The Serve deployment is in `app.py`."""
