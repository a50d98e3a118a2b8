"""Rules that linters and emulators do not check; each rule has a planted fault that it finds."""
