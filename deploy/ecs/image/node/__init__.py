"""A node of a Ray cluster on ECS: what the image runs, in the service's environment."""
