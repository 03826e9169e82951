"""One folder per role; siblings never import each other and meet only through the ports of the model."""
