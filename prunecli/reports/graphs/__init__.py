"""The channel graph of a network as text, SVG, DOT and Mermaid, from the JSON of `inspect`."""
