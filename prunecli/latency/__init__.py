"""What a network takes on this machine: timed side by side, layer by layer, and at which widths."""
