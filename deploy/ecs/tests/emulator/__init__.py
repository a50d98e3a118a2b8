"""All stacks deployed into an emulator of AWS, on this machine and nowhere else."""
