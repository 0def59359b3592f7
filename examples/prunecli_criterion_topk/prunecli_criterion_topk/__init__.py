"""A criterion for prunecli: the mean of a filter's largest weights."""
