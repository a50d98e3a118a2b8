"""Services that `pixlake up` starts on one machine in place of managed ones."""
