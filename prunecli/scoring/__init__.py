"""Make scores comparable: evidence from a network, filters' scores, and what a group's channels are worth."""
