"""LeRobot: recording its datasets, and our environments in ``lerobot-eval``.

``lerobot-eval --env.discover_packages_path=vla_eval_policies.lerobot`` imports this package with all
its modules; that registers the environment type ``vla_eval``. Importing the package alone loads
nothing of LeRobot.
"""
