"""What is made of recordings afterwards: replay, summaries, exports. Nothing here can reach a device."""
