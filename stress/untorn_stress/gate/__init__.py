"""The gate: every file-system call of real processes is held until a scheduler lets it go."""
