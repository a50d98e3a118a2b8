"""One file a stack; how often a thing changes decides where it lives."""
