"""What befalls a storm: one fault a file, each seeded, each proving that it bit, each healing."""
