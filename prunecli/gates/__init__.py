"""Limits that a printed result has to keep, and how what was found is told to people and to CI."""
