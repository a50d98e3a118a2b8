"""Stacks, one file each; resources that change equally often are in the same stack."""
