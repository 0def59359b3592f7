"""Results as pictures and pages to keep."""
