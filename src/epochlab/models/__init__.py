"""Model families: one builder and its config class each."""
