"""Training of flow policies, for ``vlaeval train``. Importing it loads torch."""
