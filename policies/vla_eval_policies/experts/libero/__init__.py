"""LIBERO's scripted experts."""
