"""What linters and emulators do not know about AWS or us; each with a fault that it finds."""
