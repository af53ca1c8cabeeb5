"""Thousands of models at once."""
