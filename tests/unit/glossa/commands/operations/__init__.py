"""Tests of the commands of people who operate Glossa."""
