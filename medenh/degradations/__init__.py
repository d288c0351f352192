"""Degradations: one recipe a file; sampling apart from applying."""
