"""What both sides of Glossa agree on: messages, wire, catalog, errors, settings, log."""
