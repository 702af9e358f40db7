"""Readers of the datasets."""
