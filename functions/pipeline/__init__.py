"""The pure desks of a request's journey: tokenize, route, assemble."""
