"""Tests of the whole local stack: the template on the emulator, with real requests and a real job."""
