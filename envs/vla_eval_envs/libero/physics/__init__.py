"""robosuite's control loop as compiled code, equal bit for bit."""
