"""The cluster of ECS on one machine: the same entrypoints, each task a host of its own."""
