"""What a network costs: parameters, multiply-accumulates, bytes, and what thop says of the same."""
