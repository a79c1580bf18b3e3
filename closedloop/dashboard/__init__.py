"""The window: a picture of recordings, and a sender of orders. It decides nothing about light; nothing waits for it.

Qt lives here and nowhere else. Each panel is a view of one `watching.Watch`; the path of Esc touches no panel.
"""
