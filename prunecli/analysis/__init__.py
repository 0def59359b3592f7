"""How criteria agree with each other, and whether a criterion can tell filters apart at all."""
