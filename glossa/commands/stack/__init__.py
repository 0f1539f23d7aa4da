"""The commands of the local stack: start, end, look at it, and check the machine. They need the checkout.

They follow the rules of the folder above. Must not know how a part of the stack works.
"""
