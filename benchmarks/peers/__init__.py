"""Other services, in environments of their own."""
