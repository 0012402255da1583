"""robosuite's control loop, compiled, to the same bit."""
