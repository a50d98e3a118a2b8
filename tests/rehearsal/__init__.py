"""Rehearsal of the ECS cluster on one machine: same entrypoints, one network host per task."""
