"""The live view: curves, light and marks on one time axis, and the list of what happened. It only draws."""
