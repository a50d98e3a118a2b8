"""Other services to compare with, each in its own virtual environment."""
