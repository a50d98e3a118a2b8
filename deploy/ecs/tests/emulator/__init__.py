"""Deployment of all stacks into an emulator of AWS on this machine."""
