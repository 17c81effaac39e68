"""What to solve: reference files run in a process of their own, and what is derived from them.

`reference` is the way in; it and `suite`, `case` and `admission` need no torch. The modules
beside them that import torch run in worker processes only.
"""
