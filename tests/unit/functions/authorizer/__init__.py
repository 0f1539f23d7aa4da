"""Tests of functions/authorizer. They reach no network: issuers and tables are fakes. Must not be imported by code."""
