"""Policies: scripted experts, controls, and wrappers. Found by name through ``vla_eval.policies``."""
