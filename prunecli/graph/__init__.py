"""Which channels are coupled: trace a network by running it, label every position, unite what must go together."""
