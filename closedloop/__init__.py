"""Real-time closed-loop optogenetics on fibre photometry. docs/path_of_a_reading.md walks through it."""
