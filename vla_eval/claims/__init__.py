"""Claims before a run: registrations, their date in a repository, and uses of held-out states."""
