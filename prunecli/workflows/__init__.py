"""The stories: one command each, from arguments to a result; nothing is printed here."""
