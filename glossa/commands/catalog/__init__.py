"""The commands that read and change the catalog: one file for each, beside what several of them need.

They follow the rules of the folder above. Must not know how a model is served.
"""
