"""What `make up` starts on one machine in place of a managed service."""
