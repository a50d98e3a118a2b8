"""Client library and the `pixlake` command."""
