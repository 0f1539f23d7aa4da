"""Tests of the routes of other ecosystems. They must not know any client: what clients send is recorded."""
