"""The content types that both sides send.

They are apart from the protocol, so that a Lambda that needs only one of them does not import the protocol. This module
must not know bodies or routes.
"""

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
PROBLEM_TYPE = "application/problem+json"  # RFC 9457
