"""Helpers of the tests that start their own servers."""
