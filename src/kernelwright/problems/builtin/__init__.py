"""The built-in suite: one reference file per problem, in the format that users write.

They are read as text by `problems.suite` and run in the reference's process, never imported.
"""
