"""The storm: many real processes at full speed, real faults, round after round; see ``storm``."""
