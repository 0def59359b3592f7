"""How the parts of a strategy are carried out; imported when one is."""
