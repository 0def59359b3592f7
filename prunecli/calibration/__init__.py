"""Run a network on images and gather what criteria want to know of its filters."""
