"""The command line: gathers options, calls the workflow of the command's name, shows the result."""
