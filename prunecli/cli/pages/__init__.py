"""One file a command: the tables that people read, made from the JSON document alone."""
