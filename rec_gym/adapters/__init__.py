"""Adapters to training frameworks: one file each, imported only when asked for.

Each takes a task's rows and its `score`, and gives them the form that the framework wants. Gains never travel through a
trainer: its rows carry the request id.
"""
