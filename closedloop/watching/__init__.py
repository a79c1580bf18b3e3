"""What a watcher knows of a session, made from its recording alone. No Qt, no device, nothing is written.

The dashboard and the progress line are pictures of what stands here. Work is done in short turns, and memory does not
grow with the session.
"""
