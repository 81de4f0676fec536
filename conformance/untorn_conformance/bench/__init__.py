"""Measures the reference cache side by side with floors and peers; nothing here decides a test."""
