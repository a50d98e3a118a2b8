"""Processes of a Ray node on ECS, in the service's Python environment; run by the image."""
