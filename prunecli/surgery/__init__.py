"""Carry a plan out on a network, and prove that the result is right."""
