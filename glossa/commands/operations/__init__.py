"""The commands of people who operate Glossa in their AWS account, one file for each.

They follow the rules of the folder above. Must not know tests and benchmarks.
"""
