"""What the Lambda side and the model side agree on: messages, protocol, catalog, limits, errors, settings, log.

Light imports only. Must not know either side.
"""
