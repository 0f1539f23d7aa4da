"""Tests of the commands of the local stack. No stack is started."""
