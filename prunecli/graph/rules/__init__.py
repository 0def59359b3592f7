"""Coupling rules: one small function per kind of operator, found by the operator's name."""
