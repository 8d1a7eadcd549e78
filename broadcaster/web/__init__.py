"""The HTTP half: four APIs, Meta's callbacks, the dashboard, and what operators read."""
