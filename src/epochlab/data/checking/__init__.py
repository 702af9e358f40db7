"""`epochlab check-data`: what is wrong with a folder of images, and which files to leave out."""
