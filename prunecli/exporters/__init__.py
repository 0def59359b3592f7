"""Other formats for a model, each written with a check of what was written."""
