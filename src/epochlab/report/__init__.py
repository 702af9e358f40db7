"""All runs of a folder on one page: a table, curves to lay over each other, every picture."""
