"""What a person sets and asks for: the page before a session, its controls, and the preview of a threshold."""
