"""Turns the verdict of a run into what people and programs read; imports only the law."""
