"""The project's own networks for small images, with the tensor names of public checkpoints."""
