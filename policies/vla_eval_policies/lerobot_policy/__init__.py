"""LeRobot checkpoints as policies: ``lerobot:<folder or hub id>?nfe=1&n_action_steps=10``.

Importing this package loads nothing of LeRobot or torch.
"""
