"""The viewer of runs: episodes of several arms side by side, with their actions, in a browser."""
