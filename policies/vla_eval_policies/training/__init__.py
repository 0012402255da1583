"""Training of flow policies: ``vlaeval train`` and what it is made of. Importing it loads torch."""
