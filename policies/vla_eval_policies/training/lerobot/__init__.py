"""Training LeRobot's policies with our methods."""
