"""Parts of a program as problems of their own: cutting it, and writing a part as a file. No torch.

What is covered by a sketch, and the searches, are `run.regions`' business.
"""
