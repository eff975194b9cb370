"""The sections of a game's report: what the generator can do, and how the game went."""
