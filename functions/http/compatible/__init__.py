"""The routes of other ecosystems, for clients that people already have: OpenAI, Cohere and Jina, TEI, Hugging Face.

An adapter turns a foreign body into the body of a task of ours, and our result into the foreign answer. It must not
know how a task is done, nor hold rules of its own about texts.
"""
