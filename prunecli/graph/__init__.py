"""Which channels are coupled: run a network once, label every position, unite what must go together."""
