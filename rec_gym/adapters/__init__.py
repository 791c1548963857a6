"""Adapters to training frameworks, imported only on request.

Each puts a task's rows and its `score` into the form that the framework expects. Gains never pass through a trainer: its
rows carry the request id.
"""
