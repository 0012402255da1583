"""Code that several scripts of this folder share.

Python puts the folder of a script first on its path, so ``python benchmarks/NAME.py`` finds this package
from any working directory. Scripts import from here, and never from another script.
"""
