"""How many channels leave each group, and which."""
