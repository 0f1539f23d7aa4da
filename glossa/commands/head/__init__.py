"""The commands that train heads on labels, and take them out of the catalog again: one file for each.

They follow the rules of the folder above. Must not know how a head is fitted or served.
"""
