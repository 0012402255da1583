"""What was said before a run: registrations, the repository that shows when, uses of held-out states."""
