"""What is wrong with a directory of images, before anything is trained on it."""
