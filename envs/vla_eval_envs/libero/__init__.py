"""LIBERO: 130 language-conditioned manipulation tasks of a Franka Panda in robosuite."""
