"""What makes a filter matter: from the evidence about a layer to one number per filter."""
