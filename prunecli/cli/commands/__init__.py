"""One file a command: gathers options, calls the workflow of its name, shows the result."""
