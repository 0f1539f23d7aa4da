"""Tests of the deployment: environments, plans, and what happens when a step fails."""
