"""A network as readable Python that needs torch alone: its parts, its forward pass, and how to load them."""
