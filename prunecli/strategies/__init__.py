"""Strategies: the procedures over time by which channels leave."""
