"""What people hold: the client library and the `pixlake` command."""
